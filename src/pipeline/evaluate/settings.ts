import { resolve } from 'node:path'
import type { Shard } from '../../curation/datasets/shard.js'
import { UsageError } from '../../errors.js'
import { PROFILES, type Profile, type ProfileName } from '../../evaluation/profiles.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'

type IdMap = Readonly<Record<string, number>>

export interface EvaluateOptions {
  /** Folder of masks. */
  readonly predictions: string
  /** Folder of labels of the same names, on the same grids in physical space (mm). */
  readonly labels: string
  readonly profile: ProfileName
  /** Another folder of masks, compared with the first case by case. */
  readonly against?: string | undefined
  /** Folder for summary.json, the tables and report.html. */
  readonly out?: string | undefined
  /** Accept labels without a mask; they are in no figure. Default: such a label is an error. */
  readonly partial?: boolean | undefined
  /** Region whose label ids are measured. Default: abdomen. */
  readonly region?: Region | undefined
  /** Ids that are measured. Default: those of the region. */
  readonly labelIds?: readonly number[] | undefined
  /** Name of each id, by index, for the report. Default: those of the region, without `labelIds`. */
  readonly labelNames?: readonly string[] | undefined
  /** The tumor ids among them. Default: those of the region. */
  readonly tumorIds?: readonly number[] | undefined
  /** Id in the masks -> id that is measured; default the same. */
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  /** Default those of the profile. */
  readonly nsdTolerancesMm?: readonly number[] | undefined
  readonly lesionIous?: readonly number[] | undefined
  /** Folder of organ masks: predicted tumor outside is removed. A case without an organ mask is unchanged. */
  readonly organs?: string | undefined
  /** Folder of tumor probabilities (0 to 1) on the masks' grids, which score the lesions. Default: scores by volume. */
  readonly scores?: string | undefined
  /** The same for the masks of `against`. */
  readonly againstScores?: string | undefined
  /**
   * File of `freetumor calibrate --rate`: predicted lesions below its threshold are removed before anything is measured.
   * Not from the masks of `against`. Probabilities: `scores`, or `probabilities/` in the folder of masks.
   */
  readonly operatingPoint?: string | undefined
  /** Measure the features of predicted lesions for `fitOperatingPoint`. Default: false. */
  readonly lesionFeatures?: boolean | undefined
  /** Folder of scans, for the pictures of the report and the contrast of true lesions. */
  readonly images?: string | undefined
  /** Manifest, or lines `case,patient`. Default: every case is a patient of its own. */
  readonly patients?: string | undefined
  /** Number of worst cases with pictures. Default: 6. */
  readonly pictures?: number | undefined
  /** Number of cases measured at the same time. Default: 2, or 1 on one core. */
  readonly workers?: number | undefined
  /** Seed of the bootstrap intervals. Default: 0. */
  readonly seed?: number | undefined
  /** Measure the cases of one shard only; needs `out`. The figures are those of the shard until the merge. */
  readonly shard?: Shard | undefined
}

/** Options of an evaluation that decide its pictures. */
export interface PictureOptions {
  /** Output folder of the evaluation; pictures go to `pictures/` in it. */
  readonly out: string
  readonly tumorIds: readonly number[]
  readonly region?: Region | undefined
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  /** Folder of organ masks. */
  readonly organs?: string | undefined
  readonly pictures?: number | undefined
  readonly workers?: number | undefined
}

/** Return the ids that are measured. @throws UsageError for a tumor id that is not among them */
export function measuredIds({ region = 'abdomen', labelIds, tumorIds }: EvaluateOptions): {
  labelIds: number[]
  tumorIds: number[]
} {
  const scheme = LABEL_SCHEMES[region]
  const labels = [...(labelIds ?? scheme.names.keys())].filter((id) => id > 0)
  const stray = tumorIds?.find((id) => !labels.includes(id))
  if (stray !== undefined)
    throw new UsageError(`--tumor-ids: ${stray} is not a label id (expected one of ${labels.join(', ')})`, {
      hint: 'add it to --label-ids too',
    })
  const tumors = tumorIds ?? scheme.organs.map(({ tumorLabel }) => tumorLabel)
  return { labelIds: labels, tumorIds: tumors.filter((id) => labels.includes(id)) }
}

/** Return the name of each measured id; undefined if the ids may be those of another convention. */
export function namesOfIds(options: EvaluateOptions): Readonly<Record<string, string>> | undefined {
  const { labelNames, labelIds, region = 'abdomen' } = options
  const names = labelNames ?? (labelIds === undefined ? LABEL_SCHEMES[region].names : undefined)
  if (names === undefined) return undefined
  const ids = measuredIds(options).labelIds.filter((id) => names[id] !== undefined)
  return Object.fromEntries(ids.map((id) => [String(id), names[id]!]))
}

/** Return the published profile with the options over it. */
export function evaluateProfile({ profile, nsdTolerancesMm, lesionIous }: EvaluateOptions): Profile {
  const published = PROFILES[profile]
  return {
    ...published,
    nsdTolerancesMm: nsdTolerancesMm ?? published.nsdTolerancesMm,
    lesionIous: lesionIous ?? published.lesionIous,
  }
}

/** Return the options that decide the figures, with absolute paths: a merge may run in another working directory. */
export function decidingOptions(options: EvaluateOptions) {
  const path = (value: string | undefined) => (value === undefined ? undefined : resolve(value))
  const { profile, partial, region, labelIds, tumorIds, predictionMap, labelMap } = options
  const { nsdTolerancesMm, lesionIous, pictures, seed } = options
  return {
    predictions: resolve(options.predictions),
    labels: resolve(options.labels),
    against: path(options.against),
    out: path(options.out),
    organs: path(options.organs),
    scores: path(options.scores),
    againstScores: path(options.againstScores),
    operatingPoint: path(options.operatingPoint),
    lesionFeatures: options.lesionFeatures,
    images: path(options.images),
    patients: path(options.patients),
    ...{ profile, partial, region, labelIds, tumorIds, predictionMap, labelMap },
    ...{ nsdTolerancesMm, lesionIous, pictures, seed },
  } satisfies EvaluateOptions
}
