import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { commandsFor } from '../../src/cli/commands/all.js'
import { runProgram } from '../../src/cli/program.js'
import { memoryIo } from '../helpers/cli.js'
import { keptFolder } from '../helpers/temporary.js'

const root = keptFolder()
const dicom = Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), Buffer.alloc(300_000)])
const folders = {
  'a folder': join(root, 'series'),
  'a tree without endings': join(root, 'pacs'),
}
for (const name of ['series/1.dcm', 'series/LICENSE.txt', 'pacs/PAT1/ST1/IM0', 'pacs/PAT2/ST1/IM0']) {
  mkdirSync(join(root, name, '..'), { recursive: true })
  writeFileSync(join(root, name), dicom)
}
const paths = { 'a file': join(root, 'series/1.dcm'), ...folders }

/** Run a command line in an empty folder, in this process. */
async function run(argv: readonly string[]) {
  const cwd = join(root, 'empty')
  mkdirSync(cwd, { recursive: true })
  const io = memoryIo({ cwd, env: process.env })
  const code = await runProgram(await commandsFor(argv), argv, io)
  return { code, stderr: io.stderr.join('\n') }
}

/** Commands whose first path is the DICOM path. */
const COMMANDS: readonly (readonly string[])[] = [
  ['data', 'check', 'PATH'],
  ['data', 'import', 'PATH', '--out', 'm.json'],
  ['data', 'split', 'PATH', '--folds', '2', '--out', 'm.json'],
  ['data', 'audit', 'PATH', '--out', 'audit'],
  ['data', 'remap', '--labels', 'PATH', '--map', 'KiTS', '--out', 'r.nii.gz'],
  ['config', 'check', 'PATH'],
  ['prepare', '--config', 'PATH'],
  ['plan', '--config', 'PATH'],
  ['train', '--config', 'PATH'],
  ['predict', '--checkpoint', 'c.pt', '--images', 'PATH', '--out', 'masks'],
  ['organs', '--images', 'PATH', '--out', 'organs', '--with', 'command', 'true {image} {output}'],
  ['synthesize', '--region', 'abdomen', '--images', 'PATH', '--labels', '.', '--out', 'synthetic'],
  ['evaluate', '--predictions', 'PATH', '--labels', '.', '--profile', 'lesion', '--out', 'evaluation'],
  ['calibrate', '--predictions', 'PATH', '--labels', '.', '--out', 'calibration'],
  ['checkpoint', 'inspect', 'PATH'],
  ['report', 'PATH'],
  ['sweep', 'PATH'],
  ['merge', 'PATH'],
  ['runs', 'show', 'PATH'],
]

describe('a command that gets DICOM names data convert', () => {
  test.each(
    COMMANDS.flatMap((words) =>
      Object.entries(paths).map(([kind, path]) => [words.join(' '), kind, words, path] as const),
    ),
  )('freetumor %s with %s', async (_, kind, words, path) => {
    const { code, stderr } = await run(words.map((word) => (word === 'PATH' ? path : word)))
    expect(code, stderr).not.toBe(0)
    expect(stderr).toContain('DICOM')
    expect(stderr).toMatch(/freetumor data convert \S+ --out scans/)
    if (kind !== 'a file') expect(stderr).toContain(path)
  })

  test('runs list and studio warn of it', async () => {
    const path = folders['a folder']
    const listed = await run(['runs', 'list', path])
    expect(listed.code).toBe(0)
    const remedy = `hint: convert the series to NIfTI: \`freetumor data convert ${path} --out scans\``
    expect(listed.stderr).toContain(`${path}: wrong format (found DICOM)\n${remedy}`)
    const stop = new AbortController()
    const io = memoryIo({ signal: stop.signal, print: () => stop.abort() })
    await runProgram(await commandsFor(['studio']), ['studio', path], io)
    expect(io.stderr.join('\n')).toContain(remedy)
  })

  test('a folder that holds other files as well keeps the message of the command', async () => {
    const mixed = join(root, 'mixed')
    mkdirSync(mixed)
    copyFileSync(paths['a file'], join(mixed, '1.dcm'))
    writeFileSync(join(mixed, 'notes.json'), '{}')
    const done = await run(['report', mixed])
    expect(done.stderr).toContain('holds no run')
    expect(done.stderr).not.toContain('DICOM')
  })
})
