import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { printResult } from '../../src/cli/output.js'
import { writeNifti } from '../../src/volume/nifti-write.js'
import { memoryIo, runCli } from '../helpers/cli.js'
import { madeImage, madeLabel } from '../helpers/made-cases.js'
import { temporaryFolder } from '../helpers/temporary.js'

const NAME = 'a\u001b]0;canary\u0007\u009b2J\u202e\nerror: canary'

// biome-ignore lint/suspicious/noControlCharactersInRegex: those must not come out
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/

function folderOfHostileFiles(): string {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'imagesTr'))
  mkdirSync(join(folder, 'labelsTr'))
  for (const kind of ['imagesTr', 'labelsTr']) writeFileSync(join(folder, kind, `${NAME}.nii.gz`), 'no scan')
  return folder
}

describe('names of files and keys of lists', () => {
  const lists = { training: [{ image: `${NAME}.nii.gz`, label: 7 }] }
  test.each<[string, (folder: string) => string[]]>([
    ['data check', (folder) => ['data', 'check', folder, '--map', '1:1']],
    ['data check, SARIF', (folder) => ['data', 'check', folder, '--map', '1:1', '--output', 'sarif']],
    [
      'data import',
      (folder) => ['data', 'import', folder, '--map', '1:1', '--out', join(folder, 'manifest.json')],
    ],
    ['a hostile list', (folder) => ['data', 'check', join(folder, 'list.json'), '--map', '1:1']],
    ['a hostile configuration', (folder) => ['train', join(folder, `${NAME}.yaml`)]],
    ['a file that does not exist', (folder) => ['checkpoint', 'inspect', join(folder, NAME)]],
    ['a flag', () => ['train', 'x.yaml', '--set', `${NAME}=1`]],
    ['a command', () => [NAME]],
  ])('reach no terminal as they are: %s', async (_, argv) => {
    const folder = folderOfHostileFiles()
    writeFileSync(join(folder, 'list.json'), JSON.stringify(lists))
    writeFileSync(join(folder, `${NAME}.yaml`), `${JSON.stringify(NAME)}: 1\njob: baseline\n`)
    const { stdout, stderr } = await runCli(argv(folder), { cwd: folder })
    expect(stdout + stderr).not.toMatch(ACTING)
    expect(`${stdout}\n${stderr}`).not.toMatch(/^error: canary/m)
  })
})

describe('a line feed in a name', () => {
  /** Two scans that are one, a label for each, and a link of a hostile name to the labels. */
  async function folderOfTwins(): Promise<string> {
    const folder = temporaryFolder()
    for (const [kind, volume] of Object.entries({ imagesTr: madeImage(), labelsTr: madeLabel() })) {
      mkdirSync(join(folder, kind))
      for (const name of [NAME, 'twin']) await writeNifti(join(folder, kind, `${name}.nii.gz`), volume)
    }
    symlinkSync(join(folder, 'labelsTr'), join(folder, NAME))
    return folder
  }
  const importing = (folder: string, out: string): string[] => [
    ...['data', 'import', '--lists', folder, '--root', folder, '--region', 'abdomen', '--map', '1:1'],
    ...['--out', join(folder, out)],
  ]
  const evaluating = (folder: string): string[] => [
    ...['evaluate', '--predictions', join(folder, NAME), '--labels', join(folder, 'labelsTr')],
    ...['--against', join(folder, 'labelsTr'), '--profile', 'freetumor', '--workers', '1'],
  ]

  test.each<[string, (folder: string) => (readonly string[])[], RegExp]>([
    ['data import', (folder) => [importing(folder, `${NAME}.json`)], /^2 cases in .*canary\.json$/m],
    [
      'data audit',
      (folder) => [importing(folder, 'm.json'), ['data', 'audit', join(folder, 'm.json')]],
      /^pair exact .*canary \(training\)/m,
    ],
    ['evaluate', (folder) => [evaluating(folder)], /^a.*canary minus labelsTr, on the same cases:$/m],
    ['runs list', (folder) => [['runs', 'list', join(folder, NAME, 'none')]], /^no run below .*canary/m],
  ])('makes no line of its own in the output of %s', async (_, commands, expected) => {
    const folder = await folderOfTwins()
    let output = { stdout: '', stderr: '' }
    for (const argv of commands(folder)) output = await runCli(argv, { cwd: folder })
    expect(output.stdout, output.stderr).toMatch(expected)
    expect(output.stdout).not.toMatch(ACTING)
    expect(output.stdout).not.toMatch(/^error: canary/m)
  })

  test('is spelled out by every command that prints its result', () => {
    const io = memoryIo()
    printResult(io, 'init', 'text', { file: '' }, () => [
      '2 masks in a\nerror: canary, 0 failed',
      'a second line',
    ])
    expect(io.stdout).toEqual(['2 masks in a\\u000aerror: canary, 0 failed\na second line'])
  })
})

describe('the working directory', () => {
  test('lends no module to Python', async () => {
    const folder = temporaryFolder()
    for (const name of ['json', 'torch', 'numpy', 'freetumor_runtime', 'sitecustomize'])
      writeFileSync(join(folder, `${name}.py`), `open(${JSON.stringify(join(folder, 'ran'))}, 'w').close()\n`)
    writeFileSync(join(folder, 'model.pt'), 'no checkpoint')
    const done = await runCli(['checkpoint', 'inspect', 'model.pt'], { cwd: folder })
    expect(done.stderr).toContain('not a zip checkpoint')
    expect(() => readFileSync(join(folder, 'ran'))).toThrow('ENOENT')
  })
})
