import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.js'
import type { ConfigInput } from '../../../src/config/schema.js'
import { ConfigError, UsageError } from '../../../src/errors.js'
import {
  type SettingsOfWeightsOptions,
  type SynthesisFlags,
  settingsOfWeights,
  synthesisSettings,
} from '../../../src/pipeline/synthesize/settings.js'
import { checkpointFacts, generatorFacts, segmentorFacts } from '../../helpers/checkpoint-facts.js'

function config(change: Partial<ConfigInput> = {}) {
  return resolveConfig({
    job: 'segmentation',
    data: { datasets: [{ name: 'hosts', role: 'host' }] },
    networks: {
      generator: { checkpoint: { path: 'g.pt', use: 'generator' }, channel: 'organ' },
      baseline: { checkpoint: null, trainFrom: 'b.yaml', patchMerging: 'legacy' },
    },
    ...change,
  })
}

describe('the settings of a configuration', () => {
  it('are its sections, with the weights and organs that painting needs', () => {
    const run = config({ simulation: { organWeights: { liver: 2, kidney: 1, pancreas: 0 } } })
    const settings = synthesisSettings(run)
    expect(settings).toMatchObject({
      generator: { checkpoint: 'g.pt', trainFrom: null },
      baseline: { checkpoint: null, trainFrom: 'b.yaml' },
      generatorChannel: 'organ',
      baselineMerging: 'legacy',
      patchVoxels: run.sampling.patchVoxels,
      quality: run.quality,
    })
    expect(settings.organs.map(({ name, weight }) => [name, weight])).toEqual([
      ['liver', 2],
      ['kidney', 1],
    ])
  })

  it('give way to flags', () => {
    const settings = synthesisSettings(config(), {
      generator: '/g2.pt',
      baseline: '/b2.pt',
      channel: 'shared',
      organs: ['kidney'],
      variants: 4,
      tumors: 2,
      seed: 9,
      layout: 'nnunet',
      workers: 3,
    })
    expect(settings).toMatchObject({
      seed: 9,
      generator: { checkpoint: '/g2.pt', trainFrom: null },
      generatorChannel: 'shared',
      baseline: { checkpoint: '/b2.pt', trainFrom: null },
      baselineMerging: null,
      simulation: { organWeights: { kidney: 1 } },
      synthesize: { variants: 4, tumorsPerVariant: 2, layout: 'nnunet', specialist: null },
      runtime: { processesPerNode: 3 },
    })
  })

  it.each([
    ['teacher', 'teacher', 'teacher'],
    [{ baseline: 'ema' }, null, 'ema'],
  ])('select the sets of weights %j of their own files only', (weights, generator, baseline) => {
    const files = { generator: '/g2.pt', baseline: '/b2.pt', weights }
    expect(synthesisSettings(config(), files)).toMatchObject({
      generator: { weights: generator },
      baseline: { weights: baseline },
    })
    expect(synthesisSettings(config(), { weights }).baseline).toMatchObject({ weights: null })
  })

  it('of a specialist paint its organ alone', () => {
    const { simulation, synthesize } = synthesisSettings(config(), {
      region: 'specialist',
      organs: ['liver'],
    })
    expect(simulation.organWeights).toEqual({ liver: 1 })
    expect(synthesize.specialist).toBe('liver')
  })

  it.each<
    [string, ConfigInput['synthesize'], SynthesisFlags, typeof ConfigError | typeof UsageError, RegExp]
  >([
    [
      'a specialist of another region',
      { specialist: 'lung' },
      {},
      ConfigError,
      /lung is no organ of the abdomen/,
    ],
    [
      'organs of another region',
      {},
      { organs: ['lung'] },
      UsageError,
      /--organs: lung is no organ of the abdomen/,
    ],
    ['a specialist without an organ', {}, { region: 'specialist' }, UsageError, /needs exactly one organ/],
    [
      'too many variants',
      {},
      { variants: 5000 },
      ConfigError,
      /synthesize.variants: wrong value \(expected at most 1000, found 5000\)/,
    ],
  ])('refuse %s', (_, synthesize, flags, kind, message) => {
    const refused = () => synthesisSettings(config({ synthesize }), flags)
    expect(refused).toThrow(kind)
    expect(refused).toThrow(message)
  })

  it('refuse a region without an organ that receives tumors', () => {
    const none = config({ simulation: { organWeights: { liver: 0 } } })
    expect(() => synthesisSettings(none)).toThrow('no organ of the region has a weight above 0')
  })
})

describe('the settings of weights', () => {
  const stated = { region: 'abdomen', windowHu: [-100, 240], spacingMm: [1, 1, 1], patchVoxels: [64, 64, 64] }
  const generator = checkpointFacts([generatorFacts(3)], { metadata: stated })
  const none = { generator: null, baseline: null }
  const options = (...set: string[]): SettingsOfWeightsOptions => ({ set, cache: '/cache' })

  it('are what a file states, the rest as published', () => {
    const settings = settingsOfWeights({ generator: '/g.pt' }, { generator, baseline: null }, options())
    expect(settings).toMatchObject({
      name: 'synthesis',
      region: 'abdomen',
      prepare: { cache: '/cache', windowHu: [-100, 240], spacingMm: [1, 1, 1] },
      patchVoxels: [64, 64, 64],
      generator: { checkpoint: '/g.pt', trainFrom: null },
      baseline: null,
      quality: config().quality,
    })
    // the file decides
    expect(settings.generatorChannel).toBeNull()
  })

  it('have one texture for a shared channel of the abdomen', () => {
    const count = (channel: 'organ' | 'shared') =>
      settingsOfWeights({ generator: '/g.pt', channel }, { generator, baseline: null }, options()).simulation
        .texture.count
    expect([count('shared'), count('organ')]).toEqual([1, 10])
  })

  it('take the value of any key, also of one that synthesis does not read', () => {
    const set = [
      'evaluation.overlap=0.3',
      'report.pictures=1',
      'runtime.device=cpu',
      'training.steps=5',
      'data.root=x',
    ]
    expect(settingsOfWeights({ region: 'chest' }, none, options(...set, 'name=mine'))).toMatchObject({
      name: 'mine',
      region: 'chest',
      evaluation: { overlap: 0.3 },
      report: { pictures: 1 },
      runtime: { device: 'cpu' },
    })
  })

  it.each([
    ['quality.shareSeen=1', /config: unknown key quality.shareSeen/],
    ['sampling.patchVoxels=[33,33,33]', /sampling.patchVoxels: wrong sides \(expected multiples of 8/],
    [
      'simulation.texture.sizeVoxels=[32,32,32]',
      /sizeVoxels: too small \(expected at least sampling.patchVoxels/,
    ],
    ['prepare.windowHu=[5,1]', /prepare.windowHu: wrong order/],
  ])('refuse %s', (set, message) => {
    expect(() => settingsOfWeights({ region: 'abdomen' }, none, options(set))).toThrow(message)
  })

  it('are never guessed', () => {
    expect(() => settingsOfWeights({}, none, options())).toThrow(
      'no checkpoint and no option states the region',
    )
    const silent = { generator: null, baseline: checkpointFacts([segmentorFacts(7)], { path: '/b.pt' }) }
    expect(() => settingsOfWeights({ baseline: '/b.pt' }, silent, options())).toThrow(
      '/b.pt: does not state the region, intensity window, spacing, patch',
    )
  })
})
