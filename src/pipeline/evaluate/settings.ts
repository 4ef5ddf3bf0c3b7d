import { UsageError } from '../../errors.js'
import { PROFILES, type Profile, type ProfileName } from '../../evaluation/profiles.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'

type IdMap = Readonly<Record<string, number>>

export interface EvaluateOptions {
  /** Folder of masks. */
  readonly predictions: string
  /** Folder of labels of the same names, on the same grids in the world. */
  readonly labels: string
  readonly profile: ProfileName
  /** Another folder of masks, compared with the first case by case. */
  readonly against?: string | undefined
  /** Writes summary.json, the tables, report.html there. */
  readonly out?: string | undefined
  /** Accept labels without a mask; they are in no figure. Default: such a label is an error. */
  readonly partial?: boolean | undefined
  /** Whose label ids are measured; default abdomen. */
  readonly region?: Region | undefined
  /** Default those of the region. */
  readonly labelIds?: readonly number[] | undefined
  /** Those of them that are tumors; default as the region says. */
  readonly tumorIds?: readonly number[] | undefined
  /** Id in the masks -> id that is measured; default the same. */
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  /** Default those of the profile. */
  readonly nsdTolerancesMm?: readonly number[] | undefined
  readonly lesionIous?: readonly number[] | undefined
  /** Folder of organ masks: predicted tumor outside is taken away. A case without one stays as it is. */
  readonly organs?: string | undefined
  /** Folder of tumor probabilities (0 to 1) on the masks' grids, which lesions are scored by; default their volume. */
  readonly scores?: string | undefined
  /** The same of the masks of `against`. */
  readonly againstScores?: string | undefined
  /** Folder of scans, for the pictures of the report. */
  readonly images?: string | undefined
  /** Manifest, or lines `case,patient`; default every case is a patient of its own. */
  readonly patients?: string | undefined
  /** Worst cases that are pictured; default 6. */
  readonly pictures?: number | undefined
  /** Cases measured at a time; default 2, or 1 on one core. */
  readonly workers?: number | undefined
  /** Seed of the bootstrap intervals. Default: 0. */
  readonly seed?: number | undefined
}

/** Those of an evaluation that its pictures depend on. */
export interface PictureOptions {
  /** Output folder of the evaluation; pictures go to `pictures/` in it. */
  readonly out: string
  readonly tumorIds: readonly number[]
  readonly region?: Region | undefined
  readonly predictionMap?: IdMap | undefined
  readonly labelMap?: IdMap | undefined
  /** Folders of organ masks and of scans. */
  readonly organs?: string | undefined
  readonly images?: string | undefined
  readonly pictures?: number | undefined
  readonly workers?: number | undefined
}

/** The ids that are measured. @throws UsageError for a tumor that is not among them */
export function measuredIds({ region = 'abdomen', labelIds, tumorIds }: EvaluateOptions): {
  labelIds: number[]
  tumorIds: number[]
} {
  const scheme = LABEL_SCHEMES[region]
  const labels = [...(labelIds ?? scheme.names.keys())].filter((id) => id > 0)
  const stray = tumorIds?.find((id) => !labels.includes(id))
  if (stray !== undefined)
    throw new UsageError(
      `--tumor-ids names ${stray}, which is not among the label ids ${labels.join(', ')}`,
      { hint: 'name it with --labels-ids too' },
    )
  const tumors = tumorIds ?? scheme.organs.map(({ tumorLabel }) => tumorLabel)
  return { labelIds: labels, tumorIds: tumors.filter((id) => labels.includes(id)) }
}

/** The published profile with the options over it. */
export function evaluateProfile({ profile, nsdTolerancesMm, lesionIous }: EvaluateOptions): Profile {
  const published = PROFILES[profile]
  return {
    ...published,
    nsdTolerancesMm: nsdTolerancesMm ?? published.nsdTolerancesMm,
    lesionIous: lesionIous ?? published.lesionIous,
  }
}
