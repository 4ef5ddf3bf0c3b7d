import { describe, expect, it } from 'vitest'
import { configJsonSchema } from '../../src/config/json-schema.js'
import { defineConfig, resolveConfig } from '../../src/config/resolve.js'
import { ConfigError } from '../../src/errors.js'

const minimal = { job: 'baseline', data: { datasets: [{ name: 'BTCV' }] } } as const

describe('resolveConfig', () => {
  it('fills the published settings of a job in a region', () => {
    const abdomen = resolveConfig(minimal)
    expect(abdomen.prepare.windowHu).toEqual([-175, 250])
    expect(abdomen.sampling.patchVoxels).toEqual([96, 96, 96])
    const chest = resolveConfig({
      ...minimal,
      job: 'synthesis',
      region: 'chest',
      networks: { baseline: { checkpoint: 'b.pt' } },
    })
    expect(chest.prepare.spacingMm).toEqual([1.25, 1.25, 5])
    expect(chest.training.adversarialWeight).toBe(0.5)
    expect(chest.sampling.cropsPerVolume).toBe(2)
  })

  it('lays the user over the defaults key by key', () => {
    const config = resolveConfig({
      ...minimal,
      training: { learningRate: 0.01 },
      sampling: { itemsPerStep: 4 },
    })
    expect(config.training.learningRate).toBe(0.01)
    expect(config.training.weightDecay).toBe(0.01)
    expect(config.sampling.itemsPerStep).toBe(4)
  })

  it('takes steps in place of the default epochs', () => {
    const config = resolveConfig({ ...minimal, training: { steps: 7 } })
    expect(config.training.steps).toBe(7)
    expect(config.training.epochs).toBeNull()
  })

  it('freezes the result at every depth', () => {
    const config = resolveConfig(minimal)
    expect(Object.isFrozen(config.training.crossEntropyWeights)).toBe(true)
    expect(Object.isFrozen(config.data.datasets)).toBe(true)
  })

  it.each([
    [{ ...minimal, trainig: {} }, 'file.yaml: unknown key trainig (did you mean training?)'],
    [
      { ...minimal, training: { lerningRate: 1 } },
      'file.yaml: unknown key training.lerningRate (did you mean learningRate?)',
    ],
    [
      { ...minimal, sampling: { itemsPerStep: 0 } },
      'file.yaml: sampling.itemsPerStep: wrong value (expected at least 1, found 0)',
    ],
    [
      { ...minimal, job: 'train' },
      'job: wrong value (expected one of baseline, synthesis, segmentation, found "train")',
    ],
    [
      { job: 'baseline', data: { datasets: [] } },
      'data.datasets: wrong value (expected at least 1 entries, found [])',
    ],
    [{ ...minimal, prepare: { windowHu: [250, -175] } }, 'prepare.windowHu: wrong order'],
    [{ ...minimal, runtime: { processesPerNode: 3 } }, 'sampling.itemsPerStep: not divisible by ranks'],
    [{ ...minimal, training: { steps: 1, epochs: 2 } }, '(expected one number and one null, found 1 and 2)'],
    [
      { ...minimal, sampling: { patchVoxels: [80, 96, 96] } },
      'expected multiples of 32 for swinunetr, found 80',
    ],
    [
      { ...minimal, training: { target: 'covid' } },
      'training.target: no target of the abdomen (found covid)',
    ],
    [
      { ...minimal, job: 'segmentation' },
      'networks.baseline: no weights (expected checkpoint, trainFrom or plugin)',
    ],
    ['text', 'no configuration (expected a mapping of keys)'],
  ])('refuses %j with the reason', (input, message) => {
    expect(() => resolveConfig(input, 'file.yaml')).toThrow(ConfigError)
    expect(() => resolveConfig(input, 'file.yaml')).toThrow(message)
  })

  it('is typed by defineConfig', () => {
    const input = defineConfig({ job: 'baseline', data: { datasets: [{ name: 'BTCV' }] }, seed: 3 })
    expect(resolveConfig(input).seed).toBe(3)
  })
})

describe('configJsonSchema', () => {
  it('knows every section and requires only job and data', () => {
    const schema = configJsonSchema() as { properties: Record<string, unknown>; required: string[] }
    expect(Object.keys(schema.properties)).toEqual([
      'job',
      'name',
      'seed',
      'region',
      'data',
      'prepare',
      'simulation',
      'sampling',
      'networks',
      'training',
      'quality',
      'synthesize',
      'evaluation',
      'runtime',
      'cluster',
      'report',
      'tracking',
    ])
    expect(schema.required).toEqual(['job', 'data'])
    expect(JSON.stringify(schema).match(/"required"/g)).toHaveLength(1)
  })
})
