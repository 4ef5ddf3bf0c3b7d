import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { addExportCommand } from '../../../src/cli/commands/export.js'
import { runProgram } from '../../../src/cli/program.js'
import { memoryIo } from '../../helpers/cli.js'
import { runPython } from '../../helpers/python.js'

const folder = mkdtempSync(join(tmpdir(), 'freetumor-test-'))
runPython('test/fixtures/make_checkpoints.py', folder)
runPython('test/fixtures/make_segmentor.py', folder)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function exported(...argv: string[]) {
  const io = memoryIo()
  const code = await runProgram([addExportCommand], ['export', ...argv], io)
  return { code, stdout: io.stdout.join('\n'), stderr: io.stderr.join('\n') }
}

const model = (name: string) => join(folder, name)
const out = (name: string) => join(folder, name)

test('export --to torchscript writes the whole folder and reports the deviation from the checkpoint', async () => {
  const argv = [model('a.pt'), '--to', 'torchscript', '--out', out('traced'), '--output', 'json']
  const done = await exported(...argv)
  expect(done).toMatchObject({ code: 0 })
  const told = JSON.parse(done.stdout)
  expect(told).toMatchObject({ kind: 'small', to: 'torchscript', out: out('traced') })
  expect(told.deviation).toBeLessThan(1e-4)
  expect(readdirSync(out('traced')).sort()).toEqual(['model.json', 'model.ts'])
  const stated = JSON.parse(readFileSync(join(out('traced'), 'model.json'), 'utf8'))
  expect(stated.origin).toMatchObject({ writer: 'freetumor', checkpointSha256: told.sha256 })
  expect(stated.labels.map(({ name }: { name: string }) => name)).toEqual([
    'background',
    'liver',
    'liver tumor',
  ])
})

test('an export that is refused writes nothing and names what to do', async () => {
  const refusals: [string[], RegExp][] = [
    [[model('TGAN.pt')], /expected a segmentor, found a synthesis checkpoint/],
    [[model('mine.pt')], /does not state the patch-merging order[\s\S]*--merging/],
    [[model('mine.pt'), '--merging', 'v2'], /does not state its windowHu[\s\S]*--region/],
    [[model('a.pt'), '--name', 'X'], /--name: only for an export of a data set/],
    [[model('absent.pt')], /file not found/],
  ]
  for (const [argv, words] of refusals) {
    const done = await exported(...argv, '--to', 'onnx', '--out', out('refused'))
    expect(done).toMatchObject({ code: 2, stdout: '' })
    expect(done.stderr).toMatch(words)
  }
  expect(existsSync(out('refused'))).toBe(false)
  expect(readdirSync(folder).filter((name) => name.includes('tmp'))).toEqual([])
})
