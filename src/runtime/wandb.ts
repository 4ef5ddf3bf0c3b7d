import type { RunFacts, Tracker } from '../tracking/tracker.js'
export function wandbTracker(
  _python: string | null | undefined,
  _directory: string,
  _project: string,
  _facts: RunFacts,
): Tracker {
  throw new Error('todo')
}
