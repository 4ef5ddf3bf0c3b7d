import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.js'
import { resolveSections } from '../../src/config/resolve-sections.js'

const run = { job: 'segmentation', region: 'chest' } as const
const whole = resolveConfig({
  ...run,
  data: { datasets: [{ name: 'hosts', role: 'host' }] },
  networks: { baseline: null, generator: null },
})

describe('resolveSections', () => {
  it('fills the wanted sections as resolveConfig does, and no other', () => {
    const { simulation, quality } = whole
    expect(resolveSections(['simulation', 'quality'], run)).toEqual({ simulation, quality })
  })

  it('lays the input over the defaults and freezes the result', () => {
    const { quality } = resolveSections(['quality'], { ...run, quality: { shareSeenThreshold: 0.2 } })
    expect(quality).toEqual({ ...whole.quality, shareSeenThreshold: 0.2 })
    expect(Object.isFrozen(quality.rules)).toBe(true)
  })

  it.each([
    [{ quality: { shareSeen: 1 } }, 'file: unknown key quality.shareSeen'],
    [{ qualty: {} }, 'file: unknown key qualty (did you mean quality?)'],
    [
      { quality: { shareSeenThreshold: 2 } },
      'file: quality.shareSeenThreshold: wrong value (expected at most 1, found 2)',
    ],
    [{ training: { steps: 'ten' } }, 'file: training.steps: wrong value (expected number, found "ten")'],
    [
      { job: 'paint' },
      'file: job: wrong value (expected one of baseline, synthesis, segmentation, found "paint")',
    ],
  ])('refuses %j in the words of resolveConfig', (change, message) => {
    const input = { ...run, data: whole.data, ...change }
    expect(() => resolveSections(['quality'], input, 'file')).toThrow(message)
    expect(() => resolveConfig(input, 'file')).toThrow(message)
  })

  it('accepts an incomplete section that is not wanted', () => {
    expect(resolveSections(['seed'], { ...run, data: { root: 'scans' } })).toEqual({ seed: 0 })
    expect(() => resolveSections(['data'], { ...run, data: { root: 'scans' } })).toThrow('data.datasets')
  })
})
