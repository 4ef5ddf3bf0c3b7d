import { setImmediate } from 'node:timers/promises'

/** Resolves as soon as the condition holds. The test's own time limit is the only one. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await setImmediate()
}
