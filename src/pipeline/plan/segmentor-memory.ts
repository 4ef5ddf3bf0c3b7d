import type { NetworkStage } from '../../config/network-stages.js'
import type { RunConfig } from '../../config/schema.js'
import { trainingLabels } from '../training-labels.js'
import { segmentorStages } from './spec.js'

export type NnUNetKind = 'resenc' | 'unet'

/** Weights, gradient, and the values that an optimizer keeps for each weight. */
const VALUES_PER_WEIGHT = { sgd: 3, adam: 4, adamw: 5 } as const
/** Values kept for the backward pass, by value that a convolution returns: measured with both kinds, 1.46 to 1.57. */
const KEPT_PER_VALUE = 1.6

/**
 * Estimate the memory that a rank needs at least to train a `resenc` or `unet`: weights, gradients, optimizer, and
 * what the backward pass needs. Workspace of the convolutions comes on top.
 * @returns bytes; null for other kinds, and with activation checkpointing
 */
export function segmentorBytes(config: RunConfig): number | null {
  const { sampling, training, runtime, networks } = config
  const { kind, activationCheckpointing } = networks.segmentor
  if ((kind !== 'resenc' && kind !== 'unet') || activationCheckpointing || config.job === 'synthesis')
    return null
  const stages = segmentorStages(config)
  const outputs = trainingLabels(config).names.length
  const ranks = runtime.nodes * runtime.processesPerNode
  const parts = runtime.reproducible ? sampling.itemsPerStep / ranks : training.accumulation
  const crops = (sampling.itemsPerStep * sampling.cropsPerVolume) / (ranks * parts)
  const bytes = runtime.precision === 'fp32' ? 4 : 2
  const weights = 4 * VALUES_PER_WEIGHT[training.optimizer] * weightCount(kind, stages, outputs)
  return weights + bytes * crops * keptForBackward(kind, stages, outputs, product(sampling.patchVoxels))
}

/** Return the number of values that a network keeps of one crop for the backward pass. */
export function keptForBackward(
  kind: NnUNetKind,
  stages: readonly NetworkStage[],
  outputs: number,
  cropVoxels: number,
): number {
  return KEPT_PER_VALUE * valueCount(kind, stages, outputs, cropVoxels)
}

/** Return the number of weights of a network with one input channel. */
export function weightCount(kind: NnUNetKind, stages: readonly NetworkStage[], outputs: number): number {
  const first = stages[0]!
  let count = kind === 'resenc' ? convolution(1, first.features, first.kernel) : 0
  stages.forEach(({ features, kernel, blocks }, at) => {
    const before = at > 0 ? stages[at - 1]!.features : kind === 'resenc' ? features : 1
    const same = convolution(features, features, kernel)
    const entry = convolution(before, features, kernel)
    count += entry + (kind === 'resenc' ? 2 * blocks - 1 : blocks - 1) * same
    // the shortcut of the first residual block: a convolution of side 1 without bias, and a norm
    if (kind === 'resenc' && before !== features) count += before * features + 2 * features
  })
  for (const [below, { features, kernel }] of decoder(stages)) {
    const up = below.features * features * product(below.stride) + features
    const further = kind === 'unet' ? convolution(features, features, kernel) : 0
    count += up + convolution(2 * features, features, kernel) + further + (features + 1) * outputs
  }
  return count
}

/** Return the number of values that the convolutions of a network return for one crop. */
function valueCount(
  kind: NnUNetKind,
  stages: readonly NetworkStage[],
  outputs: number,
  cropVoxels: number,
): number {
  let voxels = cropVoxels
  let count = kind === 'resenc' ? stages[0]!.features * voxels : 0
  stages.forEach(({ features, stride, blocks }, at) => {
    voxels /= product(stride)
    count += features * voxels * (kind === 'resenc' ? 2 * blocks : blocks)
    // in the decoder: upsampled, joined with the skip (twice the channels), convolved, and the outputs
    if (at < stages.length - 1) count += voxels * (features * (kind === 'resenc' ? 4 : 5) + outputs)
  })
  return count
}

/** Pairs of a resolution and the finer one that it is upsampled to. */
function decoder(stages: readonly NetworkStage[]): [NetworkStage, NetworkStage][] {
  return stages.slice(1).map((below, at) => [below, stages[at]!])
}

/** Return the weights of a convolution with bias and the norm after it. */
function convolution(inputs: number, outputs: number, kernel: readonly number[]): number {
  return inputs * outputs * product(kernel) + 3 * outputs
}

function product(sides: readonly number[]): number {
  return sides.reduce((all, side) => all * side, 1)
}
