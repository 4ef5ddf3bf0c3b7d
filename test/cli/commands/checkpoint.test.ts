import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { addCheckpointCommand } from '../../../src/cli/commands/checkpoint.js'
import { runProgram } from '../../../src/cli/program.js'
import { type MemoryIo, memoryIo } from '../../helpers/cli.js'
import { runPython } from '../../helpers/python.js'

const folder = mkdtempSync(join(tmpdir(), 'freetumor-test-'))
runPython('test/fixtures/make_checkpoints.py', folder)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Ran extends MemoryIo {
  readonly code: number
}

async function checkpoint(...argv: string[]): Promise<Ran> {
  const io = memoryIo()
  const code = await runProgram([addCheckpointCommand], ['checkpoint', ...argv], io)
  return Object.assign(io, { code })
}

test('inspect prints one JSON document with the facts and hints of a synthesis checkpoint', async () => {
  const { code, stdout } = await checkpoint('inspect', join(folder, 'TGAN.pt'), '--output', 'json')
  expect(code).toBe(0)
  const told = JSON.parse(stdout.join('\n'))
  expect(told.kind).toBe('generator')
  expect(told.networks).toMatchObject([
    { name: 'netG', matched: 106, missing: 0, unexpected: 0, outputs: 3 },
    { name: 'netD', matched: 106, missing: 0, unexpected: 0, outputs: 3 },
    { name: 'netSeg', matched: 167, missing: 0, unexpected: 0, outputs: 7 },
  ])
  expect(told.patchMerging).toMatchObject({ order: 'legacy', assumed: true })
  expect(told.channelMode).toMatchObject({ mode: 'shared', assumed: true })
  expect(told.sha256).toMatch(/^[\da-f]{64}$/)
  expect(told.hints).toContain(
    'channels 1 and 2 of the generator look untrained: use the generator with channel: shared',
  )
})

test('inspect prints the same as text, and the differences from a configuration', async () => {
  const { code, stdout } = await checkpoint(
    'inspect',
    join(folder, 'mine.pt'),
    '--config',
    'configs/abdomen-segmentation.yaml',
  )
  expect(code).toBe(0)
  const text = stdout.join('\n')
  expect(text).toMatch(/network +swinunetr, width 12, 7 outputs \(tumors 2, 4, 6\); 167 keys matched/)
  expect(text).toMatch(/patch merging +not stated/)
  expect(text).toMatch(/hint +wrong number of outputs \(job \w+ with target \w+ expects 3, found 7\)/)
})

test('inspect exits 2 for a file that is refused, for another hash, and for a probe of one file', async () => {
  const evil = await checkpoint('inspect', join(folder, 'evil.pt'))
  expect(evil).toMatchObject({ code: 2, stdout: [] })
  expect(evil.stderr.join('\n')).toMatch(/evil\.pt: holds more than weights/)
  const other = await checkpoint('inspect', join(folder, 'mine.pt'), '--sha256', 'a'.repeat(64))
  expect(other.code).toBe(2)
  expect(other.stderr.join('\n')).toMatch(/wrong SHA-256 \(expected a{64}, found [\da-f]{64}\)/)
  const probe = await checkpoint('inspect', join(folder, 'mine.pt'), '--probe', 'image.nii.gz')
  expect(probe.code).toBe(2)
  expect(probe.stderr.join('\n')).toMatch(/--probe: wrong number of files \(expected 2, found 1\)/)
})

test('convert writes the file, prints its hash, and records the given order', async () => {
  const out = join(folder, 'stated.safetensors')
  const argv = [
    'convert',
    join(folder, 'mine.pt'),
    '--to',
    'safetensors',
    '--out',
    out,
    '--merging',
    'corrected',
  ]
  const converted = await checkpoint(...argv, '--output', 'json')
  expect(converted.code).toBe(0)
  expect(JSON.parse(converted.stdout.join('\n'))).toMatchObject({ path: out, tensors: 167 })
  expect(readFileSync(out).subarray(8, 9).toString()).toBe('{')
})

test('convert exits with 2 for an unsupported format', async () => {
  expect((await checkpoint('convert', 'x.pt', '--to', 'onnx', '--out', 'x.onnx')).code).toBe(2)
})
