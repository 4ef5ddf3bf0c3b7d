import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { CheckpointError, EnvironmentError, UsageError } from '../../src/errors.js'
import { convertFile, inspectFile, probeMerging } from '../../src/runtime/checkpoint.js'
import { torchRuntime } from '../../src/runtime/torch-runtime.js'
import { runPython } from '../helpers/python.js'

const folder = mkdtempSync(join(tmpdir(), 'freetumor-test-'))
runPython('test/fixtures/make_checkpoints.py', folder)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a published baseline is recognised by its keys, with the assumptions about it', async () => {
  const path = join(folder, 'model_baseline_segmentor.pt')
  const facts = await torchRuntime().inspect(path, {})
  expect(facts).toMatchObject({
    kind: 'baseline',
    networks: [
      {
        name: 'network',
        architecture: 'swinunetr',
        outputs: 7,
        tumorOutputs: [2, 4, 6],
        matched: 167,
        missing: 0,
      },
    ],
    patchMerging: { order: 'legacy', assumed: true, needed: false },
    channelMode: { mode: null, assumed: false },
    prefixes: ['module.'],
    renamed: { 'swin_vit.': 'swinViT.' },
    epoch: 12,
    sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
    verifiedBy: 'crc32',
  })
})

test('a file that would run something is refused with its name and runs nothing', async () => {
  const refused = inspectFile(join(folder, 'evil.pt'))
  await expect(refused).rejects.toThrow(CheckpointError)
  await expect(refused).rejects.toThrow(/evil\.pt: holds more than weights: __builtin__\.getattr/)
  expect(existsSync(join(folder, 'touched'))).toBe(false)
})

test('files that are asked for at once get each its own answer', async () => {
  const names = ['mine.pt', 'evil.pt', 'TGAN.pt']
  const looks = await Promise.allSettled(names.map((name) => inspectFile(join(folder, name))))
  const kinds = looks.map((look) => (look.status === 'fulfilled' ? look.value.kind : look.reason.code))
  expect(kinds).toEqual(['baseline', 'checkpoint', 'generator'])
})

test('a conversion keeps kind, epoch and what is assumed', async () => {
  const safetensors = join(folder, 'new/converted.safetensors')
  const first = await convertFile(join(folder, 'TGAN.pt'), 'safetensors', safetensors, null)
  expect(first).toEqual({
    path: safetensors,
    tensors: 279 + 100,
    sha256: createHash('sha256').update(readFileSync(safetensors)).digest('hex'),
  })
  expect(await inspectFile(safetensors)).toMatchObject({
    kind: 'generator',
    epoch: 99,
    patchMerging: { order: 'legacy', assumed: true },
    channelMode: { mode: 'shared', assumed: true, untouchedOutputs: [1, 2] },
  })
})

test('a refused conversion leaves no folder', async () => {
  const target = join(folder, 'other/evil.safetensors')
  await expect(convertFile(join(folder, 'evil.pt'), 'safetensors', target, null)).rejects.toThrow(
    CheckpointError,
  )
  expect(existsSync(join(folder, 'other'))).toBe(false)
})

test('a probe without window and spacing asks for them', async () => {
  const settings = { windowHu: null, spacingMm: null, patchVoxels: null, windows: 1, device: 'cpu' } as const
  const refused = probeMerging(join(folder, 'mine.pt'), 'image.nii.gz', 'labels.nii.gz', settings)
  await expect(refused).rejects.toThrow(UsageError)
  await expect(refused).rejects.toMatchObject({ hint: 'pass region or config' })
})

test('a file is inspected once, and again when it has changed', async () => {
  const path = join(folder, 'twice.pt')
  copyFileSync(join(folder, 'mine.pt'), path)
  const first = await inspectFile(path)
  // no Python could answer: what comes back was known
  expect(await inspectFile(path, { python: '/bin/false' })).toEqual(first)
  copyFileSync(join(folder, 'model_baseline_segmentor.pt'), path)
  await expect(inspectFile(path, { python: '/bin/false' })).rejects.toThrow(EnvironmentError)
})
