import type { SourceOptions } from '../data/collect.js'
import type { MergingOrder } from '../ports/checkpoint.js'
import type { TumorSizeClass } from '../ports/realism.js'
import type { RealismLimit } from './result.js'

export interface RealismOptions extends SourceOptions {
  /** Synthetic data set: a folder that `synthesize` wrote, or any data set with tumor labels. */
  readonly synthetic: string
  /** Data set of real tumors: a folder of any layout, a list, a manifest or a configuration. */
  readonly real: string
  /** Folder for `realism.json`, `tumors.csv` and `report.html`. */
  readonly out: string
  /** Segmentor (file, run or step) whose encoder describes the tumors for a second classifier. Default: none. */
  readonly checkpoint?: string | undefined
  /** Patch-merging order of a checkpoint that does not state it. */
  readonly patchMerging?: MergingOrder | undefined
  /** Name of one of several sets of weights in the checkpoint: `student`, `teacher`, `ema`, or a key of the file. */
  readonly weights?: string | undefined
  /** Spacing in mm of the isotropic grid on which tumors are measured, 0.25 to 2. Default: 1. */
  readonly spacingMm?: number | undefined
  /** Tumors that each side of a group must have. Default: 20. */
  readonly minTumors?: number | undefined
  /** Exchanges of patients for the null of each figure. Default: 199. */
  readonly permutations?: number | undefined
  /** Resamples of patients for the interval of each figure. Default: 500. */
  readonly resamples?: number | undefined
  readonly seed?: number | undefined
  /** Number of cases in work at a time, each in a process. Default: processors, at most 2. */
  readonly workers?: number | undefined
  /** Limits that the figures must not exceed. */
  readonly limits?: readonly RealismLimit[] | undefined
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

export const REALISM_DEFAULTS = {
  spacingMm: 1,
  minTumors: 20,
  permutations: 199,
  resamples: 500,
  seed: 0,
} as const

/** Finest and coarsest grid. A rim has 2 mm on both sides of the border, so a coarser grid would not resolve it. */
export const SPACINGS_MM = [0.25, 2] as const

/** Sizes by the diameter of a ball of the tumor's volume. */
export const TUMOR_SIZE_CLASSES: readonly TumorSizeClass[] = [
  { name: 'under 10 mm', fromMm: 0, toMm: 10 },
  { name: '10 to 20 mm', fromMm: 10, toMm: 20 },
  { name: 'over 20 mm', fromMm: 20, toMm: null },
]

/** Unit of each figure; a figure without a unit counts standard deviations of the reals. */
export const MEASURE_UNITS: Readonly<Record<string, string>> = {
  frechetTumor: 'squared standard deviations',
  frechetRim: 'squared standard deviations',
  histogramTumor: 'HU',
  histogramRim: 'HU',
  histogramSurroundings: 'HU',
  spectrumDistance: 'standard deviations',
  shapeDistance: 'standard deviations',
  positionDistance: 'standard deviations',
  classifierAuc: 'AUC',
  encoderAuc: 'AUC',
}

/** The measure that needs a checkpoint. */
export const ENCODER_MEASURE = 'encoderAuc'

export const MEASURE_NAMES: readonly string[] = Object.keys(MEASURE_UNITS)
