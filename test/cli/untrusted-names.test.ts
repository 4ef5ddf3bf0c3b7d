import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
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
