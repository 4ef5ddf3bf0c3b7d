import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { writePhantomDataset } from '../../../src/phantom/dataset.js'
import type { StageContext } from '../../../src/pipeline/context.js'
import type { CheckpointFacts } from '../../../src/pipeline/ports/checkpoint.js'
import type { ComparedTumors, CompareTumorsSpec, RealismSpec } from '../../../src/pipeline/ports/realism.js'
import { compareRealism } from '../../../src/pipeline/realism/run.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { checkpointFacts, generatorFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'
import { temporaryFolder } from '../../helpers/temporary.js'

let folder: string
let measured: RealismSpec['cases'][number][]
let measuring: RealismSpec | undefined
let compared: CompareTumorsSpec | undefined

beforeEach(async () => {
  folder = temporaryFolder()
  measured = []
  compared = undefined
  await writePhantomDataset({
    out: join(folder, 'real'),
    cases: 2,
    hosts: 0,
    region: 'abdomen',
    sizeVoxels: 32,
    seed: 1,
    difficulty: 'standard',
  })
})

const n = { synthetic: 30, real: 3, syntheticPatients: 10, realPatients: 2, patientsOfBothSides: 0 }
const tooFew: ComparedTumors = { n, measures: null, features: [] }

function context(
  broken: readonly string[] = [],
  inspect: (path: string) => CheckpointFacts = () => checkpointFacts([segmentorFacts(3)]),
): StageContext {
  const runtime = inMemoryRuntime({
    inspect,
    measureTumors: (one, spec) => {
      measuring = spec
      measured.push(one)
      const error = { kind: 'data', message: `${one.image}: truncated`, hint: 'copy it again' }
      if (broken.includes(one.id)) return { caseId: one.id, error }
      const tumors = [{ tumor: 1, organ: 'liver', volumeMl: 1, diameterMm: 12.4 }]
      return { caseId: one.id, result: { file: `${one.id}.npz`, tumors, reused: false } }
    },
    compareTumors: ({ id, kind }, spec) => {
      compared = spec
      const none = {
        threshold: null,
        leadThreshold: null,
        reals: 2,
        ofAllSizes: true,
        median: 0.5,
        realsAbove: 0,
      }
      const thresholds = spec.sizes.map(({ name }) => ({ size: name, ...none }))
      return { caseId: id, result: kind === 'copies' ? { thresholds, nearest: [] } : tooFew }
    },
  })
  return { runtime, signal: undefined, logDirectory: folder, note: () => {} }
}

/** Write a synthetic data set of one host, as `synthesize` lays it out. */
function writeSynthetic(): void {
  const out = join(folder, 'synthetic')
  for (const part of ['imagesTr', 'labelsTr', 'tumorsTr']) {
    mkdirSync(join(out, part), { recursive: true })
    writeFileSync(join(out, part, 'host__a_v000.nii.gz'), '')
  }
  writeFileSync(join(folder, 'host.nii.gz'), '')
  writeFileSync(
    join(out, 'hosts.json'),
    JSON.stringify([{ case: 'host/a', image: join(folder, 'host.nii.gz') }]),
  )
  const gone = '/gone/synthetic'
  const item = {
    ...{ id: 'synthetic/host__a_v000', dataset: 'synthetic', patient: 'host/a', region: 'abdomen' },
    role: { kind: 'labelled', organs: ['liver'] },
    image: `${gone}/imagesTr/host__a_v000.nii.gz`,
    label: `${gone}/labelsTr/host__a_v000.nii.gz`,
    ...{ fold: null, split: 'training', labelMap: { '0': 0, '1': 1, '2': 2 }, parent: 'host/a' },
  }
  writeFileSync(join(out, 'manifest.json'), JSON.stringify({ version: 1, cases: [item] }))
}

test('a moved synthetic data set is measured with its numbered tumors and its hosts', async () => {
  writeSynthetic()
  await compareRealism({ synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder }, context())
  expect(measured[0]).toMatchObject({
    id: 'synthetic:synthetic/host__a_v000',
    image: join(folder, 'synthetic/imagesTr/host__a_v000.nii.gz'),
    numbers: join(folder, 'synthetic/tumorsTr/host__a_v000.nii.gz'),
    host: join(folder, 'host.nii.gz'),
  })
  expect(measured.slice(1).map(({ numbers, host }) => [numbers, host])).toEqual([
    [null, null],
    [null, null],
  ])
  expect(compared!.files[0]).toMatchObject({ patient: 'host/a', parent: 'host/a', synthetic: true })
})

test.each(['synthesis.json', 'copy'])(
  'a copied synthetic data set is measured by its own files, not by those of the original: %s',
  async (kind) => {
    writeSynthetic()
    const copy = join(folder, 'copy')
    cpSync(join(folder, 'synthetic'), copy, { recursive: true })
    const text = readFileSync(join(copy, 'manifest.json'), 'utf8')
    const original = join(folder, 'synthetic')
    writeFileSync(join(copy, 'manifest.json'), text.replaceAll('/gone/synthetic', original))
    const image = join(copy, 'imagesTr/host__a_v000.nii.gz')
    if (kind === 'synthesis.json') {
      // then a missing file is missing, too
      writeFileSync(join(copy, kind), '{}')
      rmSync(image)
    }
    await compareRealism({ synthetic: 'copy', real: 'real', out: 'out', cwd: folder }, context())
    expect(measured[0]).toMatchObject({ image, label: join(copy, 'labelsTr/host__a_v000.nii.gz') })
  },
)

test.each([0.01, 3, Number.NaN])('a grid of %d mm is refused before any work', async (spacingMm) => {
  writeSynthetic()
  await expect(
    compareRealism({ synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder, spacingMm }, context()),
  ).rejects.toThrow('--spacing: wrong grid (expected 0.25 to 2 mm')
  expect(measured).toEqual([])
})

test('a group with too few tumors has no figure, and states the numbers', async () => {
  writeSynthetic()
  const result = await compareRealism(
    {
      synthetic: 'synthetic',
      real: 'real',
      out: 'out',
      cwd: folder,
      limits: [{ measure: 'copies', max: 0 }],
    },
    context(),
  )
  const [first] = result.measures
  expect(first).toMatchObject({ name: 'frechetTumor', organ: 'all', size: 'all', value: null, ci: null, n })
  expect(first!.notMeasured).toBe(
    'not measured: 30 synthetic and 3 real tumors of 10 and 2 patients (at least 20 and 6 each)',
  )
  expect(result.copies).toBeNull()
  expect(result.exceeded).toMatchObject([{ measure: 'copies', value: null }])
  expect(result.notes[0]).toContain('does not anonymise a scan')
})

const PREPARATION = { windowHu: [-175, 250], spacingMm: [1.5, 1.5, 1.5], patchVoxels: [96, 96, 96] } as const

test('a checkpoint adds a classifier on the features of its encoder', async () => {
  writeSynthetic()
  writeFileSync(join(folder, 'model.pt'), '')
  const facts = (path: string) => checkpointFacts([segmentorFacts(3)], { path, metadata: PREPARATION })
  const asked = { synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder }

  const result = await compareRealism(
    { ...asked, checkpoint: 'model.pt', weights: 'ema' },
    context([], facts),
  )

  const sha256 = '0'.repeat(64)
  expect(measuring!.encoder).toEqual({
    ...{ checkpoint: join(folder, 'model.pt'), sha256, patchMerging: null, weights: 'ema' },
    ...PREPARATION,
  })
  expect(compared!.encoder).toBe(true)
  expect(result.settings.encoder).toEqual({ file: 'model.pt', sha256, ...PREPARATION })
  expect(result.measures.filter(({ name }) => name === 'encoderAuc')).toHaveLength(8)
  expect(readFileSync(join(folder, 'out/realism.json'), 'utf8')).not.toContain(join(folder, 'model.pt'))
})

test('without a checkpoint there is no such figure, and its limit is refused before any work', async () => {
  writeSynthetic()
  const asked = { synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder }
  await expect(
    compareRealism({ ...asked, limits: [{ measure: 'encoderAuc', max: 0.8 }] }, context()),
  ).rejects.toThrow('--limit encoderAuc: no encoder (expected --checkpoint)')
  await expect(compareRealism({ ...asked, patchMerging: 'legacy' }, context())).rejects.toThrow(
    '--merging: needs --checkpoint',
  )
  expect(measured).toEqual([])
  const result = await compareRealism(asked, context())
  expect(measuring!.encoder).toBeNull()
  expect(compared!.encoder).toBe(false)
  expect(result.measures.map(({ name }) => name)).not.toContain('encoderAuc')
})

test.each([
  [checkpointFacts([generatorFacts(3)], { path: 'given.pt' }), 'given.pt: holds no whole segmentor'],
  [
    checkpointFacts([segmentorFacts(3)], { path: 'given.pt' }),
    'given.pt: does not state its windowHu, spacingMm',
  ],
  [
    checkpointFacts([segmentorFacts(3)], { format: 'nnunet', metadata: PREPARATION }),
    'an nnU-Net model folder (expected the file of one segmentor)',
  ],
])('a checkpoint without a usable encoder is refused before any work: %#', async (facts, message) => {
  writeSynthetic()
  writeFileSync(join(folder, 'model.pt'), '')
  const asked = { synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder, checkpoint: 'model.pt' }
  await expect(
    compareRealism(
      asked,
      context([], () => facts),
    ),
  ).rejects.toThrow(message)
  expect(measured).toEqual([])
  expect(existsSync(join(folder, 'out'))).toBe(false)
})

test('the folder holds JSON, table and page, and no patches of patients', async () => {
  writeSynthetic()
  await compareRealism({ synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder }, context())
  const out = join(folder, 'out')
  expect(JSON.parse(readFileSync(join(out, 'realism.json'), 'utf8'))).toMatchObject({
    version: 1,
    nearest: [],
  })
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('does not anonymise a scan')
  expect(readFileSync(join(out, 'nearest.csv'), 'utf8')).toMatch(/^case,tumor,/)
  expect(existsSync(join(out, 'work'))).toBe(false)
})

test('a case that fails is in the result, and the others are compared', async () => {
  writeSynthetic()
  const result = await compareRealism(
    { synthetic: 'synthetic', real: 'real', out: 'out', cwd: folder },
    context(['real:real/phantom_000']),
  )
  expect(result.failed).toMatchObject([{ caseId: 'real:real/phantom_000' }])
  expect(compared!.files).toHaveLength(2)
})

test('a side without a labelled tumor is refused before any work', async () => {
  writeSynthetic()
  mkdirSync(join(folder, 'empty'))
  await expect(
    compareRealism({ synthetic: 'synthetic', real: 'empty', out: 'out', cwd: folder }, context()),
  ).rejects.toThrow(/empty/)
  expect(measured).toEqual([])
  expect(existsSync(join(folder, 'out'))).toBe(false)
})
