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

/** Operating points are fitted on 40 and 60 validation cases, and measured on 40 and 100 others. */
export const SILENT_PLAN: SilentPlan = {
  numSeeds: 10,
  labelled: [4],
  arms: SILENT_ARMS,
  hosts: 12,
  validation: { sick: 40, healthy: 60 },
  test: { sick: 80, healthy: 160 },
  steps: { start: 700, generator: 60, arm: 400 },
  discriminatorSteps: 0,
  sides: { phantom: 56, crop: 32 },
  losses: [0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5],
  primaryLoss: 0.05,
}
