import type { Vec3 } from '../volume/volume.js'

export type ProfileName = 'voco' | 'freetumor' | 'difftumor' | 'lesion'

/** How a profile of METHOD 11 measures. */
export interface Profile {
  readonly name: ProfileName
  /** Masks are resampled to this spacing first (nearest neighbour); null keeps their grid. */
  readonly spacingMm: Vec3 | null
  /** Tolerance of the normalised surface Dice; null: it is not measured. */
  readonly nsdToleranceMm: number | null
  readonly lesions: boolean
  /** A case without a tumor but with one predicted scores 0; else such cases are left out. */
  readonly falseAlarmScoresZero: boolean
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  voco: {
    name: 'voco',
    spacingMm: [1.5, 1.5, 1.5],
    nsdToleranceMm: null,
    lesions: false,
    falseAlarmScoresZero: false,
  },
  freetumor: {
    name: 'freetumor',
    spacingMm: [1.5, 1.5, 1.5],
    nsdToleranceMm: null,
    lesions: false,
    falseAlarmScoresZero: false,
  },
  difftumor: {
    name: 'difftumor',
    spacingMm: null,
    nsdToleranceMm: 2,
    lesions: false,
    falseAlarmScoresZero: true,
  },
  lesion: {
    name: 'lesion',
    spacingMm: null,
    nsdToleranceMm: null,
    lesions: true,
    falseAlarmScoresZero: false,
  },
}
