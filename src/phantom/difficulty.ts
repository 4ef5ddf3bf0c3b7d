/** Difficulty of separating tumors from healthy tissue. */
export const DIFFICULTIES = ['standard', 'hard', 'early', 'late'] as const
export type Difficulty = (typeof DIFFICULTIES)[number]

/** Settings of a difficulty. Lengths are fractions of the side. */
export interface Hardness {
  /**
   * Standard deviation of the slow HU changes in every organ; null: slight changes in the first organ of the
   * region only.
   */
  readonly steatosisHu: number | null
  readonly tumorRadius: readonly [number, number]
  /** Most tumors of an organ. */
  readonly mostTumors: 2 | 3
  /** Contrast of a tumor to its organ, relative to a standard phantom. */
  readonly contrast: number
  /** Place cysts, dark vessels and fatty spots in every organ. */
  readonly confoundersEverywhere: boolean
}

/**
 * The best threshold on smoothed values relative to the organ's median, inside the true organ, finds tumors
 * of standard phantoms (all organs) with Dice 0.78 and those of hard and early phantoms (liver) with 0.26 and 0.21: hard organs
 * vary more within themselves than a tumor differs from its surroundings
 * (scripts/experiments/threshold-oracle.ts).
 */
export const HARDNESS: Readonly<Record<Difficulty, Hardness>> = {
  standard: {
    steatosisHu: null,
    tumorRadius: [0.06, 0.12],
    mostTumors: 2,
    contrast: 1,
    confoundersEverywhere: false,
  },
  hard: {
    steatosisHu: 110,
    tumorRadius: [0.045, 0.085],
    mostTumors: 2,
    contrast: 2,
    confoundersEverywhere: true,
  },
  // with 56 voxels a side, most tumors have diameters of 5 to 10 mm
  early: {
    steatosisHu: 110,
    tumorRadius: [0.032, 0.072],
    mostTumors: 3,
    contrast: 2,
    confoundersEverywhere: true,
  },
  // with 56 voxels a side, most tumors have diameters of 10 to 20 mm: larger tumors in the same organs
  late: {
    steatosisHu: 110,
    tumorRadius: [0.072, 0.12],
    mostTumors: 2,
    contrast: 2,
    confoundersEverywhere: true,
  },
}
