import { RuntimeCrashError } from '../errors.js'
import { closePreparedCase, type OpenCase, openPreparedCase } from './cache-reader.js'
import { caseOfItem, planItem } from './item.js'
import type { PlannedCrop, SamplingPlan } from './sampling-plan.js'

/** Plans items one after another. The result does not depend on the planner. */
export interface ItemPlanner {
  plan(item: number): Promise<PlannedCrop[]>
  close(): Promise<void>
}

// two files and about 50 kB of index each; opening one takes a few milliseconds
const MAX_OPEN_CASES = 32

/** Open a planner that plans in this thread. */
export function openPlanner(plan: SamplingPlan): ItemPlanner {
  const open = new Map<string, OpenCase>()
  let last: Promise<unknown> = Promise.resolve()
  let isClosed = false

  // the least recently used case is closed, so only one item is planned at a time
  const planNext = async (item: number): Promise<PlannedCrop[]> => {
    const { id, path, content } = caseOfItem(plan, item)
    const prepared =
      open.get(id) ??
      (await openPreparedCase(
        { caseId: id, path, ...(content !== undefined && { content }) },
        plan.windowHu[0],
        plan.tumors.positions,
        plan.hardNegatives?.list,
      ))
    open.delete(id)
    open.set(id, prepared)
    if (open.size > MAX_OPEN_CASES) closeOldest(open)
    return planItem(plan, item, prepared)
  }

  return {
    plan(item) {
      if (isClosed)
        return Promise.reject(new RuntimeCrashError('the feeder is closed', { hint: 'open another feeder' }))
      const planned = last.then(() => planNext(item))
      last = planned.catch(() => {})
      return planned
    },
    async close() {
      isClosed = true
      await last
      for (const prepared of open.values()) closePreparedCase(prepared)
      open.clear()
    },
  }
}

function closeOldest(open: Map<string, OpenCase>): void {
  for (const [id, prepared] of open) {
    closePreparedCase(prepared)
    open.delete(id)
    return
  }
}
