import { resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { falsePositives } from '../../evaluation/measures.js'
import { counted } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'
import { makingParents, refuseUnwritable, writeWhole } from '../../whole-file.js'
import type { StageContext } from '../context.js'
import { measureHealthy } from './calibrate.js'
import { masksIn } from './mask-files.js'
import { scoreFolderOf } from './operating-point.js'

/** False positives of one scan that are listed by default. */
const MOST_PER_CASE = 20

export interface HardNegativeOptions {
  /** Masks of healthy scans, as the segmentor predicts them. */
  readonly predictions: string
  /** Name of the data set of these scans in `data.datasets`. */
  readonly dataset: string
  /** The list to write. */
  readonly out: string
  /** Folder of the tumor probabilities of the masks. Default: `probabilities/` in their folder, if it exists. */
  readonly scores?: string | undefined
  /** Most false positives of a scan, those with the highest scores first, then the largest. Default: 20. */
  readonly mostPerCase?: number | undefined
  /** Default: abdomen. */
  readonly region?: Region | undefined
  /** Id in the masks -> id of the region; default the same. */
  readonly predictionMap?: Readonly<Record<string, number>> | undefined
  readonly workers?: number | undefined
}

/** A line of the list: a false positive in RAS millimetres of its scan. */
export interface ListedHardNegative {
  readonly case: string
  readonly mm: readonly [number, number, number]
  readonly score: number | null
  readonly volumeMl: number
}

/** The list, and where it was written. */
export interface HardNegatives {
  readonly file: string
  readonly scans: number
  /** Scans without a false positive. */
  readonly lesionFree: number
  readonly hardNegatives: readonly ListedHardNegative[]
}

/**
 * List the false positives in masks of healthy scans, for `sampling.hardNegatives`.
 * @throws DataError without a false positive, or for a case that cannot be measured
 */
export async function hardNegativesOfMasks(
  options: HardNegativeOptions,
  context: StageContext,
): Promise<HardNegatives> {
  const { predictions, dataset, mostPerCase = MOST_PER_CASE, region, predictionMap, workers } = options
  if (dataset.trim() === '')
    throw new UsageError('--dataset: no name (expected that of a data set in data.datasets)', {
      hint: 'pass --dataset NAME',
    })
  const file = resolve(options.out)
  await masksIn(predictions)
  await refuseUnwritable(file)
  const scores = scoreFolderOf(predictions, options.scores)
  const shared = { predictions, labels: predictions, region, predictionMap, workers, scores, out: '' }
  const cases = await measureHealthy(predictions, shared, context)
  const sorted = [...cases].sort((a, b) => (a.caseId < b.caseId ? -1 : 1))
  const hardNegatives = sorted.flatMap((one) =>
    falsePositives(one)
      .map(({ centreMm, score, volumeMl }) => ({
        case: `${dataset}/${one.caseId}`,
        mm: centreMm,
        score,
        volumeMl,
      }))
      .sort((a, b) => (b.score ?? 0) - (a.score ?? 0) || b.volumeMl - a.volumeMl)
      .slice(0, mostPerCase),
  )
  if (hardNegatives.length === 0)
    throw new DataError(
      `${predictions}: no false positive (found ${counted(cases.length, 'lesion-free scan')})`,
      {
        hint: 'no list is needed: omit sampling.hardNegatives',
      },
    )
  const text = hardNegatives.map((one) => `${JSON.stringify(one)}\n`).join('')
  await makingParents(file, () => writeWhole(file, text))
  const listed = new Set(hardNegatives.map((one) => one.case))
  return { file, scans: cases.length, lesionFree: cases.length - listed.size, hardNegatives }
}
