import { setTimeout } from 'node:timers/promises'

const SHORTEST_WAIT_MS = 2
const LONGEST_WAIT_MS = 500

/** Wait after a look, in times of what the look took: looks take a fifth of a core from what is awaited. */
const WAIT_PER_LOOK = 4

/**
 * Resolves soon after the condition holds: a cheap condition is looked at often, one that reads all of /proc or starts a
 * program seldom. The test's own time limit is the only one.
 */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (;;) {
    const started = performance.now()
    if (await holds()) return
    const looked = performance.now() - started
    await setTimeout(Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, WAIT_PER_LOOK * looked)))
  }
}
