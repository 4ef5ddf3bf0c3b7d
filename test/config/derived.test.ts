import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.js'

const data = { datasets: [{ name: 'Dataset003_Liver' }] }
const networks = { baseline: { checkpoint: 'baseline.pt' }, generator: { checkpoint: 'generator.pt' } }

describe('training.accumulation', () => {
  it.each([
    [32, 1, 8],
    [32, 8, 1],
    [32, 2, 4],
    [6, 1, 2],
    [7, 1, 7],
    [2, 1, 1],
    [4, 1, 1],
  ])('leaves at most 4 of %i volumes on %i ranks in a part of a synthesis', (itemsPerStep, ranks, parts) => {
    for (const region of ['abdomen', 'chest'] as const) {
      const config = resolveConfig({
        job: 'synthesis',
        region,
        data,
        networks,
        sampling: { itemsPerStep },
        runtime: { processesPerNode: ranks },
      })
      expect(config.training.accumulation).toBe(parts)
    }
  })

  it('is the value of the user, and 1 for a segmentor, whose norms use one crop', () => {
    const told = { job: 'synthesis', data, networks, training: { accumulation: 2 } }
    expect(resolveConfig(told).training.accumulation).toBe(2)
    expect(
      resolveConfig({ job: 'baseline', data, sampling: { itemsPerStep: 32 } }).training.accumulation,
    ).toBe(1)
  })
})

describe('simulation.texture.count', () => {
  const count = (input: object) =>
    resolveConfig({ job: 'segmentation', data, ...input }).simulation.texture.count
  const shared = { ...networks, generator: { ...networks.generator, channel: 'shared' } }

  it('is the published 1 for a published generator of the abdomen, else 10', () => {
    expect(count({ networks: shared })).toBe(1)
    expect(count({ networks })).toBe(10)
    expect(count({ networks: shared, region: 'chest' })).toBe(10)
  })

  it('is the value of the user', () => {
    expect(count({ networks: shared, simulation: { texture: { count: 3 } } })).toBe(3)
  })
})

describe('networks', () => {
  it('leave the patch-merging order open only where weights may state it', () => {
    const order = (segmentor: object) =>
      resolveConfig({ job: 'baseline', data, networks: { segmentor } }).networks.segmentor.patchMerging
    expect(order({})).toBe('corrected')
    expect(order({ initialWeights: 'VoCo_B_SSL_head.pt' })).toBeNull()
    expect(order({ initialWeights: 'mine.pt', patchMerging: 'v2' })).toBe('v2')
  })

  it('take a generator alone from a file where that is wanted, and refuse another word for it', () => {
    const start = (checkpoint: unknown) =>
      resolveConfig({ job: 'synthesis', data, networks: { ...networks, generator: { checkpoint } } }).networks
        .generator!.checkpoint
    expect(start('TGAN.pt')).toBe('TGAN.pt')
    expect(start({ path: 'TGAN.pt', use: 'generator' })).toEqual({ path: 'TGAN.pt', use: 'generator' })
    expect(start({ path: 'TGAN.pt' })).toEqual({ path: 'TGAN.pt', use: 'both' })
    expect(() => start({ path: 'TGAN.pt', use: 'discriminator' })).toThrow(/use: both \| generator/)
  })
})
