import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../../errors.js'
import { needsProbabilities } from '../../evaluation/operating-point.js'
import type { StageContext } from '../context.js'
import {
  compareWithFit,
  type OpenedOperatingPoint,
  readOperatingPoint,
  refuseAppliedPoint,
  settingsOfMasks,
} from '../operating-point.js'
import type { EvaluateOptions } from './settings.js'

/** Read the operating point of an evaluation, and compare it with the masks. */
export async function pointOf(
  { operatingPoint, predictions }: EvaluateOptions,
  context: StageContext,
): Promise<OpenedOperatingPoint | null> {
  if (operatingPoint === undefined) return null
  const point = await readOperatingPoint(operatingPoint)
  const settings = await settingsOfMasks(predictions)
  refuseAppliedPoint(predictions, settings)
  compareWithFit(point, settings, predictions, (text) => context.note(text, 'warning'))
  return point
}

/** Return the folder of probabilities; an operating point that needs them takes those of the prediction. */
export function scoresFolder(
  { scores, predictions }: EvaluateOptions,
  point: OpenedOperatingPoint | null,
): string | undefined {
  if (scores !== undefined || point === null || !needsProbabilities(point.point.rule)) return scores
  const folder = join(predictions, 'probabilities')
  if (existsSync(folder)) return folder
  throw new UsageError(`${point.file}: needs probabilities (expected --scores or ${folder})`, {
    hint: 'predict with --probabilities, or pass --scores DIR',
  })
}
