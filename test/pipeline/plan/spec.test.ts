import { readdir } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../../src/config/load.js'
import type { RunConfig } from '../../../src/config/schema.js'
import { DATASETS } from '../../../src/curation/datasets/registry.js'
import { itemsPerEpoch, sampledCases, samplingPlan, totalSteps } from '../../../src/pipeline/plan/sampling.js'
import { trainingSpec } from '../../../src/pipeline/plan/spec.js'
import type { TrainingCase } from '../../../src/pipeline/prepare/run.js'

const FOLDER = new URL('../../../configs/', import.meta.url).pathname

/** The cases of a configuration's data sets, as many as the published lists have. */
function publishedCases(config: RunConfig): TrainingCase[] {
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
    weights: { baseline: 'baseline.pt', generator: 'generator.pt', licences: [] },
    initialWeights: null,
  })

describe('a shipped configuration', () => {
  // docs/method.md 7 and 10: items an epoch, what the segmentor learns, and whether tumors are painted
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
