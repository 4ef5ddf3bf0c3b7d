import { setTimeout } from 'node:timers/promises'

/** A wait that leaves the processor to what is awaited. */
const LOOK_EVERY_MS = 2

/** Resolves as soon as the condition holds. The test's own time limit is the only one. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await setTimeout(LOOK_EVERY_MS)
}
