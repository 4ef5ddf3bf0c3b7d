import { type Arm, EARLY_ARMS, SHRUNK_ARMS } from './plan.js'
import type { PolicyPlan } from './policy-plan.js'

/** Plan of early-tumors without its seeds, which derive from the commit of the plan. */
export interface EarlyPlan extends Omit<PolicyPlan, 'margin'> {
  readonly arms: readonly Arm[]
  readonly difficulty: 'early'
  /** Success needs at least this mean gain of sensitivity at 5 to 10 mm, and a lower bound above 0. */
  readonly wantedGain: number
  /** Arm and opponent of the primary question. Default: `missedSizes` and `uniformSizes`. */
  readonly primary?: readonly [arm: Arm, opponent: Arm]
}

/** Return the arm and the opponent of the primary question. */
export function primaryOf({ primary }: EarlyPlan): readonly [arm: Arm, opponent: Arm] {
  return primary ?? ['missedSizes', 'uniformSizes']
}

/**
 * Phantoms with 1 to 3 tumors each, 73 % of them with diameters of 5 to 10 mm: about 43 of those among the test cases of a seed.
 * Crops of 24 voxels (36 mm) hold every tumor, and a seed costs about 320 processor seconds.
 */
export const EARLY_PLAN: EarlyPlan = {
  numSeeds: 6,
  labelled: [4],
  arms: EARLY_ARMS,
  difficulty: 'early',
  hosts: 12,
  validation: { sick: 16, healthy: 12 },
  test: { sick: 48, healthy: 28 },
  steps: { start: 400, generator: 40, arm: 200 },
  discriminatorSteps: 0,
  sides: { phantom: 56, crop: 24 },
  falsePositivesPerScan: 1,
  wantedGain: 0.05,
}

/**
 * Plan of shrunk-tumors: the labelled tumors are larger (10 to 20 mm), the held-out ones are those of early-tumors. Longer trainings than
 * there, because its starts were weak. A seed costs about 215 processor seconds.
 */
export const SHRUNK_PLAN: EarlyPlan = {
  ...EARLY_PLAN,
  numSeeds: 16,
  arms: SHRUNK_ARMS,
  labelledDifficulty: 'late',
  steps: { start: 1600, generator: 60, arm: 400 },
  diametersMm: [5, 10],
  primary: ['shrunk', 'uniformSizes'],
}
