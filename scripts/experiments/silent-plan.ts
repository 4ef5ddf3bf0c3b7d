import { type Arm, SILENT_ARMS } from './plan.js'
import type { PolicyPlan } from './policy-plan.js'

/** Plan of silent-scans without its seeds, which derive from the commit of the plan. */
export interface SilentPlan extends Omit<PolicyPlan, 'falsePositivesPerScan' | 'margin'> {
  readonly arms: readonly Arm[]
  /** Accepted losses of lesion sensitivity on the validation cases, rising. */
  readonly losses: readonly number[]
  /** Loss of the primary question; one of `losses`. */
  readonly primaryLoss: number
}

/**
 * Operating points of all seeds together are fitted on 240 cases with tumors and 200 healthy ones, and measured on 112 and 208
 * others. A pilot with 10 cases with tumors a seed (13 lesions) could not lose 5 points: a single lesion is 8. A cell costs about
 * 235 processor seconds.
 */
export const SILENT_PLAN: SilentPlan = {
  numSeeds: 8,
  labelled: [4],
  arms: SILENT_ARMS,
  hosts: 12,
  validation: { sick: 30, healthy: 25 },
  test: { sick: 44, healthy: 51 },
  steps: { start: 400, generator: 0, arm: 200 },
  discriminatorSteps: 0,
  sides: { phantom: 56, crop: 32 },
  losses: [0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5],
  primaryLoss: 0.05,
}
