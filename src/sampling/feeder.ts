import { UsageError } from '../errors.js'
import { checkPlan } from './item.js'
import { openPlanner } from './planner.js'
import type { PlannedCrop, SamplingPlan } from './sampling-plan.js'
import { openWorkerPool } from './worker-pool.js'

/** Serves the items of a training, step by step and rank by rank. */
export interface Feeder {
  /**
   * The crops of a rank's contiguous block of the items of a step: items in order, crops of an item side by side.
   * Which items they are does not depend on `accumulation`; it must divide them. Raises DataError naming the case.
   */
  step(step: number, rank: number, ranks: number, accumulation: number): Promise<PlannedCrop[]>
  close(): Promise<void>
}

/**
 * Opens a feeder with `workers` threads; 0 plans in this thread. The items are the same whatever the number of workers
 * or ranks. Raises ConfigError when the plan cannot be carried out.
 */
export async function openFeeder(plan: SamplingPlan, options: { readonly workers: number }): Promise<Feeder> {
  checkPlan(plan)
  const planner = options.workers === 0 ? openPlanner(plan) : openWorkerPool(plan, options.workers)
  return {
    async step(step, rank, ranks, accumulation) {
      const items = itemsOfRank(plan, step, rank, ranks, accumulation)
      return (await Promise.all(items.map((item) => planner.plan(item)))).flat()
    },
    close: () => planner.close(),
  }
}

function itemsOfRank(
  plan: SamplingPlan,
  step: number,
  rank: number,
  ranks: number,
  accumulation: number,
): number[] {
  if (plan.itemsPerStep % (ranks * accumulation) !== 0) {
    throw new UsageError(
      `sampling.itemsPerStep (${plan.itemsPerStep}) must be divisible by ranks x accumulation (${ranks} x ${accumulation})`,
      { hint: 'change sampling.itemsPerStep, the number of processes, or training.accumulation' },
    )
  }
  const perRank = plan.itemsPerStep / ranks
  const first = step * plan.itemsPerStep + rank * perRank
  return Array.from({ length: perRank }, (_, at) => first + at)
}
