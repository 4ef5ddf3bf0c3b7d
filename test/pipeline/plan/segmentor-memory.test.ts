import { describe, expect, it } from 'vitest'
import { networkStages } from '../../../src/config/network-stages.js'
import { resolveConfig } from '../../../src/config/resolve.js'
import { segmentorBytes, weightCount } from '../../../src/pipeline/plan/segmentor-memory.js'

const configOf = (segmentor: object, more: object = {}) =>
  resolveConfig({
    job: 'baseline',
    data: { datasets: [{ name: 'Dataset003_Liver' }] },
    networks: { segmentor },
    ...more,
  })

describe('the number of weights', () => {
  // counted by PyTorch in the networks of dynamic-network-architectures 0.4.4
  it.each([
    ['resenc', 32, [32, 32, 32], [1, 1, 1], 3, 25_895_593],
    ['unet', 32, [48, 48, 48], [1, 1, 1], 3, 5_603_177],
    ['resenc', 32, [192, 192, 32], [1.25, 1.25, 5], 3, 101682351],
    ['unet', 16, [512, 512, 16], [0.7, 0.7, 10], 7, 44599041],
  ] as const)(
    'of a %s with %i channels and patch %j is that of its modules',
    (kind, features, patch, spacing, outputs, count) => {
      expect(weightCount(kind, networkStages(kind, features, patch, spacing), outputs)).toBe(count)
    },
  )
})

describe('the memory of a rank', () => {
  const bytes = (more: object, segmentor: object = {}) =>
    segmentorBytes(configOf({ kind: 'resenc', preset: 'S', ...segmentor }, more))!

  it('grows with the crops, and is smaller in half precision and with accumulation', () => {
    const whole = bytes({})
    expect(bytes({ sampling: { itemsPerStep: 4 } })).toBeGreaterThan(1.5 * whole)
    expect(bytes({ runtime: { precision: 'bf16' } })).toBeLessThan(0.6 * whole)
    expect(bytes({ training: { accumulation: 2 } })).toBeLessThan(0.6 * whole)
  })

  it('is not known for other kinds, and with activation checkpointing', () => {
    expect(segmentorBytes(configOf({ kind: 'swinunetr' }))).toBeNull()
    expect(segmentorBytes(configOf({ kind: 'unet', activationCheckpointing: true }))).toBeNull()
  })
})
