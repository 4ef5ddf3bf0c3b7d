import type { Vec3 } from '../volume/volume.js'

export type ProfileName = 'voco' | 'freetumor' | 'difftumor' | 'lesion'

/** The grid that figures were taken on: that of the files, the prepared one, or the files resampled by nearest neighbour. */
export type MetricGrid = 'original' | 'prepared' | 'resampled'

/** Sizes that lesions are told apart by; bins are half-open, `edges` are where the next one begins. */
export interface LesionBinning {
  readonly by: 'diameterMm' | 'radiusMm'
  readonly edges: readonly number[]
}

/** How one of the published evaluations counts (METHOD 11), as data. */
export interface Profile {
  readonly name: ProfileName
  /** Grid that the profile's figures are defined on. */
  readonly grid: 'original' | 'prepared'
  /** Masks of another spacing are resampled to this by nearest neighbour, and the summary says so; null: never. */
  readonly spacingMm: Vec3 | null
  /** Tolerances of the normalised surface Dice; the first is the profile's own. Empty: not measured. */
  readonly nsdTolerancesMm: readonly number[]
  /** Whether connected lesions are compared too. */
  readonly lesions: boolean
  /** A label that only the mask has scores 0; else it is left out of its mean, as one that neither has always is. */
  readonly falseAlarmScoresZero: boolean
  readonly lesionBinnings: readonly LesionBinning[]
  /** Least intersections over union at which one true and one predicted lesion are a pair, beside any overlap. */
  readonly lesionIous: readonly number[]
}

const PUBLISHED_SPACING_MM: Vec3 = [1.5, 1.5, 1.5]

/** What most profiles have in common. */
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
    // What is called in healthy scans has figures of its own here: false-positive volume and count, specificity, AUC, FROC.
    lesionBinnings: [
      { by: 'diameterMm', edges: [20, 50] },
      { by: 'radiusMm', edges: [5, 10, 15, 20] },
    ],
    lesionIous: [0.1, 0.3, 0.5],
  },
}
