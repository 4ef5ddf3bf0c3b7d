import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { fitOperatingPoint, fittedCase } from '../../evaluation/operating-fit.js'
import {
  type LesionOperatingPoint,
  operatingPointSchema,
  type WantedPoint,
} from '../../evaluation/operating-point.js'
import { counted } from '../../plain-text.js'
import { makingParents, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { fittedSettings, refuseAppliedPoint, settingsOfMasks } from '../operating-point.js'
import { type CalibrateOptions, measureCases, measureHealthy, refuseWrongPaths } from './calibrate.js'

export interface OperatingPointOptions extends CalibrateOptions {
  /** Wanted lesion-free rate of healthy scans, 0 to 1; either this or `sensitivityLoss`. */
  readonly rate?: number | undefined
  /** Accepted loss of lesion sensitivity, as a fraction of all lesions. */
  readonly sensitivityLoss?: number | undefined
  /** Folder of the tumor probabilities of the masks. Default: `probabilities/` in their folder, if it exists. */
  readonly scores?: string | undefined
  /** The same for the masks of healthy scans. */
  readonly healthyScores?: string | undefined
}

/** The operating point, and where it was written. */
export interface WrittenOperatingPoint extends LesionOperatingPoint {
  readonly file: string
}

/**
 * Fit a rule that removes predicted lesions, and write its file (docs/method.md#operating-points). Cases of `labels` without a
 * tumor count as healthy scans too.
 * @throws UsageError without a true lesion or a healthy scan, DataError for a case that cannot be measured
 */
export async function calibrateOperatingPoint(
  options: OperatingPointOptions,
  context: StageContext,
): Promise<WrittenOperatingPoint> {
  const wanted = wantedOf(options)
  const { predictions, healthy } = options
  await refuseWrongPaths(options)
  const prediction = await commonSettings(predictions, healthy)
  const scores = scoreFolderOf(predictions, options.scores)
  const healthyScores = healthy === undefined ? undefined : scoreFolderOf(healthy, options.healthyScores)
  if (healthy !== undefined && (scores === undefined) !== (healthyScores === undefined))
    throw new UsageError(
      `${scores === undefined ? predictions : healthy}: no probabilities (expected those of both folders or none)`,
      { hint: 'predict both with --probabilities, or pass --scores and --healthy-scores' },
    )
  if (scores === undefined)
    context.note('no probabilities: the rule can use volume, shape and organ only', 'warning')
  const labelled = await measureCases({ ...options, scores, lesionFeatures: true }, context)
  const others =
    healthy === undefined
      ? []
      : await measureHealthy(healthy, { ...options, scores: healthyScores, lesionFeatures: true }, context)
  const cases = [
    ...labelled.map(fittedCase),
    ...others.map((one) => ({ ...fittedCase(one), caseId: `healthy ${one.caseId}` })),
  ]
  const lesions = cases.reduce((sum, { numTrue }) => sum + numTrue, 0)
  const scans = cases.filter((one) => one.healthy).length
  if (lesions === 0)
    throw new UsageError(`${options.labels}: no tumor (found ${counted(labelled.length, 'case')})`, {
      hint: 'name cases with tumors, or map their ids with --map-labels',
    })
  if (scans === 0)
    throw new UsageError('calibrate: no healthy scan', {
      hint: 'pass the masks of healthy scans with --healthy',
    })
  noteFewLesions(wanted, lesions, context)
  const point: LesionOperatingPoint = {
    ...fitOperatingPoint(cases, wanted),
    prediction: prediction && fittedSettings(prediction),
  }
  const file = resolve(options.out)
  const text = `${JSON.stringify(operatingPointSchema.parse(point), null, 2)}\n`
  await makingParents(file, () => writeWhole(file, text))
  return { ...point, file }
}

function wantedOf({ rate, sensitivityLoss }: OperatingPointOptions): WantedPoint {
  if ((rate === undefined) === (sensitivityLoss === undefined))
    throw new UsageError('calibrate: wrong target (expected either --rate or --sensitivity-loss)', {
      hint: 'pass one of them, such as --rate 0.9',
    })
  return rate === undefined ? { sensitivityLoss: sensitivityLoss! } : { rate }
}

/** Warn if an accepted loss is less than one lesion: then the threshold depends on the lesion with the lowest value alone. */
function noteFewLesions(wanted: WantedPoint, lesions: number, context: StageContext): void {
  if ('rate' in wanted || wanted.sensitivityLoss === 0 || wanted.sensitivityLoss * lesions >= 1) return
  const least = Math.ceil(1 / wanted.sensitivityLoss)
  context.note(
    `--sensitivity-loss ${wanted.sensitivityLoss}: less than one of ${counted(lesions, 'lesion')}, so none is lost (expected at least ${counted(least, 'lesion')})`,
    'warning',
  )
}

/** Return the settings of both folders of masks; null if one does not state them. */
async function commonSettings(
  predictions: string,
  healthy: string | undefined,
): Promise<Readonly<Record<string, unknown>> | null> {
  const own = await settingsOfMasks(predictions)
  refuseAppliedPoint(predictions, own)
  if (healthy === undefined) return own
  const other = await settingsOfMasks(healthy)
  refuseAppliedPoint(healthy, other)
  if (own === null || other === null) return null
  const [a, b] = [fittedSettings(own), fittedSettings(other)]
  const differing = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(
    (key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]),
  )
  if (differing.length > 0)
    throw new DataError(
      `${healthy}: predicted with other settings than ${predictions} (found other ${differing.join(', ')})`,
      { hint: 'predict both with the same checkpoint and options' },
    )
  return own
}

/** Return the folder of the probabilities of masks; undefined without one. */
export function scoreFolderOf(masks: string, scores: string | undefined): string | undefined {
  const folder = join(masks, 'probabilities')
  return scores ?? (existsSync(folder) ? folder : undefined)
}
