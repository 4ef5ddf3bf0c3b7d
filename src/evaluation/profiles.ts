import type { Vec3 } from '../volume/volume.js'

export type ProfileName = 'voco' | 'freetumor' | 'difftumor' | 'lesion'

/** Grid of the figures: that of the files, the prepared one, or the files resampled by nearest neighbour. */
export type MetricGrid = 'original' | 'prepared' | 'resampled'

/** Size bins of lesions. Bins are half-open; `edges` are the starts of all bins but the first. */
export interface LesionBinning {
  readonly by: 'diameterMm' | 'radiusMm'
  readonly edges: readonly number[]
}

/** The rules of one published evaluation (docs/method.md#11-prediction-and-evaluation), as data. */
export interface Profile {
  readonly name: ProfileName
  /** Grid on which the figures of the profile are defined. */
  readonly grid: 'original' | 'prepared'
  /**
   * Masks of another spacing are resampled to this one by nearest neighbour, and the summary reports it;
   * null: never.
   */
  readonly spacingMm: Vec3 | null
  /**
   * Tolerances of the normalised surface Dice, in mm; the first is that of the profile. Empty: not measured.
   */
  readonly nsdTolerancesMm: readonly number[]
  /** Compare connected lesions as well. */
  readonly lesions: boolean
  /**
   * A label that only the mask has scores 0. Otherwise it is omitted from its mean, like a label that neither
   * has.
   */
  readonly falseAlarmScoresZero: boolean
  readonly lesionBinnings: readonly LesionBinning[]
  /**
   * Minimum intersections over union at which one true and one predicted lesion form a pair, in addition to
   * any overlap.
   */
  readonly lesionIous: readonly number[]
}

const PUBLISHED_SPACING_MM: Vec3 = [1.5, 1.5, 1.5]

/** Common settings of most profiles. */
const PLAIN = {
  grid: 'prepared',
  spacingMm: PUBLISHED_SPACING_MM,
  nsdTolerancesMm: [],
  lesions: false,
  falseAlarmScoresZero: false,
  lesionBinnings: [],
  lesionIous: [],
} as const satisfies Omit<Profile, 'name'>

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  voco: { name: 'voco', ...PLAIN },
  freetumor: { name: 'freetumor', ...PLAIN },
  difftumor: {
    name: 'difftumor',
    ...PLAIN,
    grid: 'original',
    spacingMm: null,
    nsdTolerancesMm: [2],
    falseAlarmScoresZero: true,
  },
  lesion: {
    name: 'lesion',
    ...PLAIN,
    grid: 'original',
    spacingMm: null,
    lesions: true,
    // false positives in healthy scans have their own figures here: volume, count, specificity, AUC, FROC
    lesionBinnings: [
      // early tumors have bins of their own; below 5 mm, a lesion has a few voxels, and its figures are uncertain
      { by: 'diameterMm', edges: [5, 10, 20, 50] },
      { by: 'radiusMm', edges: [5, 10, 15, 20] },
    ],
    lesionIous: [0.1, 0.3, 0.5],
  },
}
