import type { CaseError } from '../ports/common.js'
import type {
  CopyThreshold,
  EncoderSpec,
  FeatureRow,
  GroupFigure,
  NearestTumor,
  TumorCounts,
  TumorSizeClass,
} from '../ports/realism.js'

/** A figure of the tumors of an organ and a size. */
export interface RealismMeasure extends GroupFigure {
  readonly organ: string
  readonly size: string
  readonly unit: string
  readonly n: TumorCounts
  /** Why there is no value; null with one. */
  readonly notMeasured: string | null
}

export interface RealismFeature extends FeatureRow {
  readonly organ: string
}

/** Highest allowed value of a figure. */
export interface RealismLimit {
  /** Name of a measure, or `copies`: the number of tumors above the threshold of copies. */
  readonly measure: string
  /** Default: all. */
  readonly organ?: string | undefined
  /** Default: all. */
  readonly size?: string | undefined
  readonly max: number
}

/** A limit that does not hold; `value` is null if the figure was not measured. */
export interface ExceededLimit {
  readonly measure: string
  readonly organ: string
  readonly size: string
  readonly max: number
  readonly value: number | null
}

/** The encoder behind `encoderAuc`. */
export interface RealismEncoder
  extends Pick<EncoderSpec, 'sha256' | 'windowHu' | 'spacingMm' | 'patchVoxels'> {
  /** Name of the checkpoint, without its folder. */
  readonly file: string
}

/** Content of `realism.json`. */
export interface RealismResult {
  readonly version: 1
  readonly settings: {
    readonly spacingMm: number
    readonly minTumors: number
    readonly permutations: number
    readonly resamples: number
    readonly seed: number
    /** Null: without `--checkpoint`, so `encoderAuc` is no measure. */
    readonly encoder: RealismEncoder | null
  }
  readonly sizes: readonly TumorSizeClass[]
  readonly measures: readonly RealismMeasure[]
  /** Features of all sizes, by organ. */
  readonly features: readonly RealismFeature[]
  readonly thresholds: readonly CopyThreshold[]
  readonly nearest: readonly NearestTumor[]
  /** Synthetic tumors above the threshold of copies; null without a threshold. */
  readonly copies: number | null
  readonly limits: readonly RealismLimit[]
  readonly exceeded: readonly ExceededLimit[]
  readonly failed: readonly { readonly caseId: string; readonly error: CaseError }[]
  /** Limits of the result, one sentence each. */
  readonly notes: readonly string[]
}
