import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CheckpointError } from '../../../src/errors.js'
import { exportModelOf } from '../../../src/pipeline/export/model.js'
import { isDatasetPath } from '../../../src/pipeline/export/source.js'
import type { ExportSpec } from '../../../src/pipeline/ports/export.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { checkpointFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { writeFiles } from '../../helpers/data-set.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const facts = checkpointFacts([segmentorFacts(3)], {
  sha256: 'a'.repeat(64),
  metadata: { region: 'abdomen' },
})

function contextOf(exportWeights: (spec: ExportSpec) => void) {
  const runtime = inMemoryRuntime({
    inspect: () => facts,
    exportWeights: (spec) => {
      exportWeights(spec)
      writeFileSync(join(spec.out, 'plans.json'), '{}')
      return { kind: 'resenc', tensors: 3, deviation: null, files: { 'plans.json': 'hash' } }
    },
  })
  return { runtime, signal: undefined, note: () => {} }
}

test('an export appears whole under its name, with the origin of its weights', async () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'model.pt'), '')
  const out = join(folder, 'model')
  const seen: ExportSpec[] = []
  const context = contextOf((spec) => seen.push(spec))
  const made = await exportModelOf(join(folder, 'model.pt'), { to: 'nnunet', out }, context)
  expect(seen[0]!.about).toMatchObject({ checkpointSha256: facts.sha256, region: 'abdomen' })
  expect(seen[0]!.out).not.toBe(out)
  expect(readFileSync(join(out, 'plans.json'), 'utf8')).toBe('{}')
  expect(made).toMatchObject({
    out,
    kind: 'resenc',
    files: [{ name: 'plans.json', bytes: 2, sha256: 'hash' }],
  })
})

test('a region states the preparation of a file, and an ONNX file that is not compared is a warning', async () => {
  const folder = temporaryFolder()
  const model = join(folder, 'model.pt')
  writeFileSync(model, '')
  const seen: ExportSpec[] = []
  const notes: string[] = []
  const context = { ...contextOf((spec) => seen.push(spec)), note: (text: string) => notes.push(text) }
  const made = await exportModelOf(model, { to: 'onnx', out: join(folder, 'a'), region: 'abdomen' }, context)
  await exportModelOf(model, { to: 'torchscript', out: join(folder, 'b') }, context)
  expect(made.deviation).toBeNull()
  expect(seen[0]!.preparation).toMatchObject({ windowHu: [-175, 250], patchVoxels: [96, 96, 96] })
  expect(seen[0]!.preparation!.labelNames[2]).toBe('liver tumor')
  expect(seen[1]!.preparation).toBeNull()
  expect(notes.filter((text) => text.includes('onnxruntime'))).toHaveLength(1)
})

test('an export that fails leaves nothing, and a folder with content is refused before anything is written', async () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'model.pt'), '')
  const failing = contextOf(() => {
    throw new CheckpointError('no', { hint: 'none' })
  })
  const out = join(folder, 'model')
  const model = join(folder, 'model.pt')
  await expect(exportModelOf(model, { to: 'nnunet', out }, failing)).rejects.toThrow('no')
  expect(readdirSync(folder)).toEqual(['model.pt'])
  writeFiles(out, { 'own.txt': 'mine' })
  const whole = contextOf(() => {})
  const refused = exportModelOf(model, { to: 'nnunet', out }, whole)
  await expect(refused).rejects.toThrow(/wrong folder \(expected a new or empty one, found own\.txt\)/)
  expect(readdirSync(out)).toEqual(['own.txt'])
})

test('runs, files of weights and nnU-Net models are weights; data sets, lists and configurations are not', async () => {
  const folder = temporaryFolder()
  writeFiles(folder, {
    'run/config.resolved.yaml': '',
    'run/version.json': {},
    'nnunet/plans.json': {},
    'nnunet/dataset.json': {},
    'set/dataset.json': {},
    'weights.pth': 'x',
    'list.json': {},
    'own.yaml': '',
  })
  mkdirSync(join(folder, 'set/imagesTr'))
  const isData = (name: string) => isDatasetPath(name, folder)
  const weights = await Promise.all(['run', 'nnunet', 'weights.pth'].map(isData))
  expect(weights).toEqual([false, false, false])
  const data = await Promise.all(['set', 'list.json', 'own.yaml', 'debug-baseline'].map(isData))
  expect(data).toEqual([true, true, true, true])
  await expect(isData('missing')).rejects.toThrow(/file not found/)
})
