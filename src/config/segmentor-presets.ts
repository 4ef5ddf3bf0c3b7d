import { asRecord } from '../foreign-text.js'
import type { JobAndRegion } from './key.js'

export const SEGMENTOR_PRESETS = ['S', 'M', 'L'] as const

/** Crops that nnU-Net's planner gives a residual network on the default grid, for 4, 9 and 24 GB of GPU memory. */
const PATCH_VOXELS = {
  abdomen: { S: [96, 96, 128], M: [128, 128, 160], L: [192, 192, 192] },
  chest: { S: [160, 128, 32], M: [224, 192, 40], L: [256, 256, 64] },
} as const

/** The batch and the optimizer of nnU-Net; its learning rate and weight decay follow from `sgd`. */
const TRAINING = { optimizer: 'sgd', schedule: 'poly', warmupEpochs: 0, gradientClip: 12 } as const
const SAMPLING = { itemsPerStep: 2, cropsPerVolume: 1 } as const

/**
 * Return the defaults with those that `networks.segmentor.preset` of an input states. Keys that the input states take
 * precedence over both.
 */
export function withPreset(
  defaults: Record<string, unknown>,
  input: Record<string, unknown>,
  { job, region }: JobAndRegion,
): Record<string, unknown> {
  const segmentor = asRecord(asRecord(input.networks)?.segmentor)
  const preset = SEGMENTOR_PRESETS.find((name) => name === segmentor?.preset)
  if (preset === undefined || job === 'synthesis') return defaults
  return {
    ...defaults,
    sampling: { ...asRecord(defaults.sampling), ...SAMPLING, patchVoxels: PATCH_VOXELS[region][preset] },
    training: { ...asRecord(defaults.training), ...TRAINING },
  }
}
