import type { PlannedCrop, SamplingPlan } from './plan.js'

export interface Feeder {
  /** The crops of a rank's contiguous block of the items of a step, crops of an item side by side. */
  step(step: number, rank: number, ranks: number, accumulation: number): Promise<PlannedCrop[]>
  close(): Promise<void>
}

export async function openFeeder(plan: SamplingPlan, options: { readonly workers: number }): Promise<Feeder> {
  throw new Error(`not built yet: ${plan.job}, ${options.workers} workers`)
}
