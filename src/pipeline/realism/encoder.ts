import { basename, resolve } from 'node:path'
import { publishedPreparation } from '../../config/preparation.js'
import { CheckpointError, UsageError } from '../../errors.js'
import { checkpointFile } from '../checkpoint/checkpoint-file.js'
import type { StageContext } from '../context.js'
import type { EncoderSpec } from '../ports/realism.js'
import { predictWeights } from '../predict/weights.js'
import type { RealismEncoder } from './result.js'
import { ENCODER_MEASURE, type RealismOptions } from './settings.js'

/**
 * Return the encoder of `--checkpoint`; null without one.
 * @throws CheckpointError for a file without a complete segmentor; UsageError for a limit of `encoderAuc` without a
 *   checkpoint, or a setting that the file does not state
 */
export async function encoderOf(options: RealismOptions, context: StageContext): Promise<EncoderSpec | null> {
  const { checkpoint, cwd = process.cwd(), region, patchMerging, weights, limits = [] } = options
  if (checkpoint === undefined) {
    const lone = patchMerging === undefined ? (weights === undefined ? null : '--weights') : '--merging'
    if (lone !== null)
      throw new UsageError(`${lone}: needs --checkpoint`, { hint: `pass --checkpoint FILE, or omit ${lone}` })
    if (limits.some(({ measure }) => measure === ENCODER_MEASURE))
      throw new UsageError(`--limit ${ENCODER_MEASURE}: no encoder (expected --checkpoint)`, {
        hint: 'pass --checkpoint FILE, or omit the limit',
      })
    return null
  }
  const file = await checkpointFile(resolve(cwd, checkpoint))
  const stated = region === undefined ? {} : publishedPreparation(region)
  const found = await predictWeights([file], { patchMerging, weights }, stated, context)
  const [member] = found.members
  if (member === undefined || found.nnunet)
    throw new CheckpointError(`${file}: an nnU-Net model folder (expected the file of one segmentor)`, {
      hint: 'name a model.pt of freetumor, or a SwinUNETR',
    })
  const { windowHu, spacingMm, patchVoxels } = found
  return { ...member, weights: weights ?? null, windowHu, spacingMm, patchVoxels }
}

/** Return the encoder as the result states it, without its folder. */
export function statedEncoder(encoder: EncoderSpec | null): RealismEncoder | null {
  if (encoder === null) return null
  const { checkpoint, sha256, windowHu, spacingMm, patchVoxels } = encoder
  return { file: basename(checkpoint), sha256, windowHu, spacingMm, patchVoxels }
}
