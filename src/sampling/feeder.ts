import { UsageError } from '../errors.js'
import { checkPlan } from './item.js'
import { openPlanner } from './planner.js'
import type { PlannedCrop, SamplingPlan } from './sampling-plan.js'
import { openWorkerPool } from './worker-pool.js'

/** Serves the items of a training by step and rank. */
export interface Feeder {
  /**
   * Return the crops of a rank's contiguous block of the items of a step: items in order, crops of an item
   * side by side. The items do not depend on `accumulation`, which must divide them.
   * @throws DataError that names the case
   */
  step(step: number, rank: number, ranks: number, accumulation: number): Promise<PlannedCrop[]>
  close(): Promise<void>
}

/**
 * Open a feeder with `workers` threads; 0 plans in this thread. The items do not depend on the number of
 * workers or ranks.
 * @throws ConfigError if the plan cannot be executed
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
      `sampling.itemsPerStep: wrong number (expected a multiple of ${ranks} ranks x ${accumulation} accumulation, found ${plan.itemsPerStep})`,
      { hint: 'set sampling.itemsPerStep to a multiple of ranks x accumulation' },
    )
  }
  const perRank = plan.itemsPerStep / ranks
  const first = step * plan.itemsPerStep + rank * perRank
  return Array.from({ length: perRank }, (_, at) => first + at)
}
