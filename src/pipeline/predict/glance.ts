import { isDeepStrictEqual } from 'node:util'
import type { PredictSettings } from '../../config/predict-settings.js'
import { CheckpointError, UsageError } from '../../errors.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import type { StageContext } from '../context.js'
import type { PredictSpec } from '../ports/cases.js'
import type { PredictInputs } from './settings.js'
import { type PredictWeights, predictWeights } from './weights.js'

/**
 * Inspect the network that chooses the sliding windows; null if there is none.
 * @throws UsageError if all windows are computed; CheckpointError for a file with other outputs, or without its preparation
 */
export async function glanceWeights(
  { glance }: Pick<PredictInputs, 'glance'>,
  settings: PredictSettings,
  segmentors: PredictWeights,
  context: StageContext,
): Promise<PredictWeights | null> {
  if (glance === undefined) return null
  if (settings.windows === 'all')
    throw new UsageError('--glance: has no effect with --windows all (expected organs or coarse)', {
      hint: 'pass --windows organs too, or omit --glance',
    })
  const path = await checkpointFile(glance)
  const weights = await predictWeights([path], {}, {}, context)
  const found = outputsOf(weights)
  const expected = outputsOf(segmentors)
  const namesDiffer = weights.labelNames !== null && segmentors.labelNames !== null
  if (weights.nnunet || weights.outputs !== segmentors.outputs || (namesDiffer && found !== expected))
    throw new CheckpointError(
      `${path}: cannot choose sliding windows (expected a segmentor with ${expected}, found ${found})`,
      { hint: 'train the network of --glance on the same region' },
    )
  if (isDeepStrictEqual(weights.spacingMm, segmentors.spacingMm))
    context.note(`${path}: has the spacing of the segmentor, so --glance saves little time`, 'warning')
  return weights
}

/** Return the network of the glance, as Python receives it. */
export function glanceSpec(weights: PredictWeights): NonNullable<PredictSpec['glance']> {
  const { windowHu, spacingMm, patchVoxels } = weights
  const { checkpoint, patchMerging } = weights.members[0]!
  return { member: { checkpoint, patchMerging, weights: null }, windowHu, spacingMm, patchVoxels }
}

function outputsOf({ outputs, labelNames, nnunet }: PredictWeights): string {
  if (nnunet) return 'the grid of an nnU-Net'
  return labelNames === null ? `${outputs} outputs` : `the outputs ${labelNames.join(', ')}`
}
