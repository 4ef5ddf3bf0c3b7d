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
  /** Tolerance of the normalised surface Dice; null: not measured. */
  readonly nsdToleranceMm: number | null
  /** Whether connected lesions are compared too. */
  readonly lesions: boolean
  /** A label that only the mask has scores 0; else it is left out of its mean, as one that neither has always is. */
  readonly falseAlarmScoresZero: boolean
  readonly lesionBinnings: readonly LesionBinning[]
}

const PUBLISHED_SPACING_MM: Vec3 = [1.5, 1.5, 1.5]

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  voco: {
    name: 'voco',
    grid: 'prepared',
    spacingMm: PUBLISHED_SPACING_MM,
    nsdToleranceMm: null,
    lesions: false,
    falseAlarmScoresZero: false,
    lesionBinnings: [],
  },
  freetumor: {
    name: 'freetumor',
    grid: 'prepared',
    spacingMm: PUBLISHED_SPACING_MM,
    nsdToleranceMm: null,
    lesions: false,
    falseAlarmScoresZero: false,
    lesionBinnings: [],
  },
  difftumor: {
    name: 'difftumor',
    grid: 'original',
    spacingMm: null,
    nsdToleranceMm: 2,
    lesions: false,
    falseAlarmScoresZero: true,
    lesionBinnings: [],
  },
  lesion: {
    name: 'lesion',
    grid: 'original',
    spacingMm: null,
    nsdToleranceMm: null,
    lesions: true,
    // What is called in healthy scans has figures of its own here: false-positive volume and specificity.
    falseAlarmScoresZero: false,
    lesionBinnings: [
      { by: 'diameterMm', edges: [20, 50] },
      { by: 'radiusMm', edges: [5, 10, 15, 20] },
    ],
  },
}
