import type { RunEvent } from '../../training/events.js'
import { followEvents } from '../../training/follow-events.js'
import type { RunProcesses } from '../ports/runs.js'
import type { KnownJob } from './job-state.js'

/** Time between two questions to the scheduler, which many users share. */
const ASK_MS = 10_000

/**
 * Yield the events of a run that a job of a cluster trains, over all its starts, until the job ends.
 * @param job reads what the files of the directory state now
 */
export function followJob(
  directory: string,
  job: () => Promise<KnownJob>,
  processes: Pick<RunProcesses, 'jobs'>,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent> {
  let askedMs = Number.NEGATIVE_INFINITY
  const ended = async (): Promise<boolean> => {
    const known = await job()
    if (known.open.length === 0) return (await known.state(new Map())).ended
    if (performance.now() - askedMs < ASK_MS) return false
    askedMs = performance.now()
    // a controller that does not answer ends no job
    const states = await processes.jobs(known.open).catch(() => null)
    return states !== null && (await known.state(states)).ended
  }
  return followEvents(directory, ended, signal)
}
