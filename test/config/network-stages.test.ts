import { describe, expect, it } from 'vitest'
import { networkStages, sideMultiples } from '../../src/config/network-stages.js'
import { resolveConfig } from '../../src/config/resolve.js'

/**
 * Answers of nnunetv2 2.8.1: get_pool_and_conv_props(spacing, patch, 4, 999999). Strides and kernels have one
 * digit per axis, one word per resolution.
 */
const NNUNET = [
  {
    patch: [96, 96, 96],
    spacing: [1.5, 1.5, 1.5],
    strides: '111 222 222 222 222',
    kernels: '333 333 333 333 333',
    multiples: [16, 16, 16],
  },
  {
    patch: [128, 128, 128],
    spacing: [1.5, 1.5, 1.5],
    strides: '111 222 222 222 222 222',
    kernels: '333 333 333 333 333 333',
    multiples: [32, 32, 32],
  },
  {
    patch: [160, 160, 160],
    spacing: [1, 1, 1],
    strides: '111 222 222 222 222 222',
    kernels: '333 333 333 333 333 333',
    multiples: [32, 32, 32],
  },
  {
    patch: [192, 192, 32],
    spacing: [1.25, 1.25, 5],
    strides: '111 221 221 222 222 222',
    kernels: '331 331 333 333 333 333',
    multiples: [32, 32, 8],
  },
  {
    patch: [64, 64, 16],
    spacing: [0.8, 0.8, 5],
    strides: '111 221 221 222 222',
    kernels: '331 331 333 333 333',
    multiples: [16, 16, 4],
  },
  {
    patch: [16, 16, 16],
    spacing: [1.5, 1.5, 1.5],
    strides: '111 222 222',
    kernels: '333 333 333',
    multiples: [4, 4, 4],
  },
  {
    patch: [32, 32, 16],
    spacing: [2, 2, 2],
    strides: '111 222 222 221',
    kernels: '333 333 333 333',
    multiples: [8, 8, 4],
  },
  {
    patch: [224, 192, 40],
    spacing: [0.78, 0.78, 3],
    strides: '111 221 222 222 222 221',
    kernels: '331 333 333 333 333 333',
    multiples: [32, 32, 8],
  },
  {
    patch: [512, 512, 16],
    spacing: [0.7, 0.7, 10],
    strides: '111 221 221 221 222 222 221 221',
    kernels: '331 331 331 333 333 333 333 333',
    multiples: [128, 128, 4],
  },
] as const

type Vec3 = readonly [number, number, number]
const digits = (sizes: readonly (readonly number[])[]) => sizes.map((size) => size.join('')).join(' ')
const data = { datasets: [{ name: 'Dataset003_Liver' }] }

describe('the resolutions of a network', () => {
  it.each(NNUNET)('of a patch $patch with spacing $spacing are those of nnU-Net', (plan) => {
    const stages = networkStages('resenc', 32, plan.patch as Vec3, plan.spacing as Vec3)
    expect(digits(stages.map(({ stride }) => stride))).toBe(plan.strides)
    expect(digits(stages.map(({ kernel }) => kernel))).toBe(plan.kernels)
    expect(sideMultiples(stages)).toEqual(plan.multiples)
  })

  it('have the channels and blocks of nnU-Net', () => {
    const of = (kind: 'resenc' | 'unet') => networkStages(kind, 32, [128, 128, 128], [1, 1, 1])
    expect(of('resenc').map(({ features }) => features)).toEqual([32, 64, 128, 256, 320, 320])
    expect(of('resenc').map(({ blocks }) => blocks)).toEqual([1, 3, 4, 6, 6, 6])
    expect(of('unet').map(({ blocks }) => blocks)).toEqual([2, 2, 2, 2, 2, 2])
  })
})

describe('networks.segmentor.preset', () => {
  const resolve = (input: object) =>
    resolveConfig({
      job: 'baseline',
      data,
      networks: { segmentor: { kind: 'resenc', preset: 'M' } },
      ...input,
    })

  it('states patch, batch and optimizer of nnU-Net', () => {
    const { sampling, training, networks } = resolve({})
    expect([sampling.patchVoxels, sampling.itemsPerStep, sampling.cropsPerVolume]).toEqual([
      [128, 128, 160],
      2,
      1,
    ])
    expect(training).toMatchObject({
      optimizer: 'sgd',
      schedule: 'poly',
      learningRate: 0.01,
      weightDecay: 3e-5,
    })
    expect(networks.segmentor.featureSize).toBe(32)
  })

  it('does not replace a key that the configuration states', () => {
    const { sampling, training } = resolve({
      sampling: { patchVoxels: [64, 64, 64] },
      training: { learningRate: 0.02 },
    })
    expect([sampling.patchVoxels, sampling.itemsPerStep]).toEqual([[64, 64, 64], 2])
    expect([training.learningRate, training.weightDecay]).toEqual([0.02, 3e-5])
  })

  it.each(['abdomen', 'chest'] as const)('has patches of the %s that its network can halve', (region) => {
    for (const preset of ['S', 'M', 'L'] as const)
      for (const kind of ['resenc', 'unet'] as const)
        expect(() => resolve({ region, networks: { segmentor: { kind, preset } } })).not.toThrow()
  })
})

describe('sampling.patchVoxels', () => {
  it('is refused if a network cannot halve it as often as planned', () => {
    const input = {
      job: 'baseline',
      data,
      networks: { segmentor: { kind: 'unet' } },
      sampling: { patchVoxels: [104, 96, 96] },
    }
    expect(() => resolveConfig(input)).toThrow(
      'sampling.patchVoxels: wrong sides (expected multiples of 16, 16, 16 for unet, found 104, 96, 96)',
    )
  })
})
