import { readdir } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { RunConfig } from '../../src/config/schema.js'
import { DATASETS } from '../../src/curation/datasets/registry.js'
import {
  type CuratedCase,
  itemsPerEpoch,
  sampledCases,
  samplingPlan,
  totalSteps,
  trainingLabels,
  trainingSpec,
} from '../../src/pipeline/specs.js'
import { refuseOtherOrgans } from '../../src/pipeline/train/inputs.js'

const FOLDER = new URL('../../configs/', import.meta.url).pathname

/** The cases of a configuration's data sets, as many as the published lists have. */
function publishedCases(config: RunConfig): CuratedCase[] {
  return config.data.datasets.flatMap(({ name, repeat }) => {
    const { role, published } = DATASETS.find((dataset) => dataset.name === name)!
    const made = (part: 'training' | 'validation') =>
      Array.from({ length: published[part] }, (_, at) => ({
        id: `${name}/${part}-${at}`,
        path: '',
        kind: role.kind === 'host' ? ('host' as const) : ('labelled' as const),
        repeat,
        heldOut: part === 'validation',
        content: '',
      }))
    return [...made('training'), ...made('validation')]
  })
}

const specOf = (config: RunConfig) =>
  trainingSpec(config, {
    runId: 'run',
    runDirectory: 'run',
    ownerNumber: 1,
    textureDirectory: 'textures',
    resumeFrom: null,
    fingerprint: { config: '', data: '' },
    cases: publishedCases(config),
    weights: { baseline: 'baseline.pt', generator: 'generator.pt' },
  })

describe('a shipped configuration', () => {
  // METHOD 7 and 10: items an epoch, what the segmentor learns, and whether tumors are painted
  it.each([
    ['abdomen-baseline', 104 * 4 + 224 * 2 + 391, 7, null],
    ['abdomen-synthesis', 95_486, 7, ['liver', 'pancreas', 'kidney']],
    ['abdomen-segmentation', 1_040 + 13_186, 3, ['liver']],
    ['abdomen-segmentation-pancreas', 2_240 + 13_186, 3, ['pancreas']],
    ['abdomen-segmentation-kidney', 3_910 + 13_186, 3, ['kidney']],
    ['chest-baseline', 3_180, 2, null],
    ['chest-synthesis', 3_180 + 4_510, 2, ['lung']],
    ['chest-segmentation', 3_180 + 4_510, 3, ['lung']],
  ] as const)('%s has %i items an epoch and %i outputs', async (name, items, outputs, painted) => {
    const config = await loadConfig(`${FOLDER}${name}.yaml`)
    const sampled = sampledCases(config, publishedCases(config))
    const spec = specOf(config)
    expect(itemsPerEpoch(sampled)).toBe(items)
    expect(spec.segmentor.outputs).toBe(outputs)
    const { tumors, organs } = samplingPlan(config, sampled)
    expect(tumors.draws > 0).toBe(painted !== null)
    expect(spec.synthesis !== null).toBe(painted !== null)
    if (painted !== null) expect(organs.map((organ) => organ.name)).toEqual(painted)
    expect(totalSteps(config, sampled)).toBe(
      Math.ceil((items * config.training.epochs!) / config.sampling.itemsPerStep),
    )
  })

  it('is one of those above, a variant of one for 8 GPUs, or a debug one', async () => {
    const names = (await readdir(FOLDER)).filter(
      (file) => file.endsWith('.yaml') && !/^debug-|-8gpu\.yaml$/.test(file),
    )
    expect(names).toHaveLength(8)
  })
})

describe('a target', () => {
  const config = (target: string, task: string, region = 'abdomen') =>
    resolveConfig({
      job: 'segmentation',
      region,
      data: { datasets: [{ name: 'Mine' }, { name: 'Hosts' }] },
      networks: { baseline: { checkpoint: 'b.pt' }, generator: { checkpoint: 'g.pt' } },
      training: { target, task },
    })
  const cases: CuratedCase[] = [
    { id: 'Mine/a', path: '', kind: 'labelled', repeat: 10, heldOut: false, content: '' },
    { id: 'Mine/b', path: '', kind: 'labelled', repeat: 10, heldOut: true, content: '' },
    { id: 'Hosts/c', path: '', kind: 'host', repeat: 1, heldOut: false, content: '' },
  ]
  const TARGETS = [
    ['all', 'abdomen', [0, 1, 2, 3, 4, 5, 6], ['liver', 'pancreas', 'kidney'], [2, 4, 6]],
    ['lits', 'abdomen', [0, 1, 2, 0, 0, 0, 0], ['liver'], [2]],
    ['panc', 'abdomen', [0, 0, 0, 1, 2, 0, 0], ['pancreas'], [2]],
    ['kits', 'abdomen', [0, 0, 0, 0, 0, 1, 2], ['kidney'], [2]],
    ['all', 'chest', [0, 0, 1], ['lung'], [1]],
    ['covid', 'chest', [0, 1, 2], ['lung'], [2]],
  ] as const

  it.each(TARGETS)('%s of the %s maps the ids of its region to %j', (target, region, map, organs, tumors) => {
    const labels = trainingLabels(config(target, 'onlylabeled', region))
    expect(labels.map).toEqual(map)
    expect(labels.organs.map((organ) => organ.name)).toEqual(organs)
    expect(labels.tumorIds).toEqual(tumors)
    expect(labels.names).toHaveLength(Math.max(...map) + 1)
  })

  it.each(TARGETS)(
    '%s of the %s draws from real tumors alone (onlylabeled) or from hosts too, painted (freesyn)',
    (target, region) => {
      const [real, both] = ['onlylabeled', 'freesyn'].map((task) => config(target, task, region)) as [
        RunConfig,
        RunConfig,
      ]
      expect(sampledCases(real, cases).map(({ id }) => id)).toEqual(['Mine/a'])
      expect(sampledCases(both, cases).map(({ id }) => id)).toEqual(['Mine/a', 'Hosts/c'])
      expect(samplingPlan(real, []).tumors.draws).toBe(0)
      expect(samplingPlan(both, []).tumors).toMatchObject({
        draws: 1,
        condition: region === 'chest' ? 'organ' : 'organWithoutTumor',
      })
    },
  )

  it.each([
    ['lits', 'chest'],
    ['covid', 'abdomen'],
  ])('%s is refused in the %s', (target, region) => {
    expect(() => config(target, 'onlylabeled', region)).toThrow(`training.target ${target} is of the`)
  })

  const real = (dataset: string, organs: string[], split = 'training') => ({
    id: `${dataset}/1`,
    dataset,
    split: split as 'training',
    role: { kind: 'labelled' as const, organs: organs as ['liver'] },
  })

  it('of one organ refuses real tumors of another, whose organ it would learn as background', () => {
    const [liver, pancreas] = [config('lits', 'freesyn'), config('panc', 'freesyn')]
    const lits = real('Dataset003_Liver', ['liver'])
    expect(() => refuseOtherOrgans(liver, [lits])).not.toThrow()
    expect(() => refuseOtherOrgans(pancreas, [lits])).toThrow(
      'training.target panc: the real tumors of Dataset003_Liver are of the liver, not of the pancreas',
    )
    expect(() => refuseOtherOrgans(config('all', 'onlylabeled'), [lits])).not.toThrow()
  })

  it('takes data sets that do not say which organs they label, those of several, and held-out ones', () => {
    const pancreas = config('panc', 'freesyn')
    const taken = [
      real('Mine', []),
      real('Both', ['liver', 'pancreas']),
      real('Test', ['liver'], 'validation'),
    ]
    expect(() => refuseOtherOrgans(pancreas, taken)).not.toThrow()
  })
})
