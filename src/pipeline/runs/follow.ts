import type { RunEvent } from '../../training/events.js'
import { followEvents } from '../../training/follow-events.js'
import type { RunProcesses } from '../ports/runs.js'
import { lastStart, type Submission } from './submission.js'

/** Time between two questions to the scheduler, which many users share. */
const ASK_MS = 10_000

/** Yield the events of a run that a job of a cluster trains, over all its starts, until the job ends. */
export function followJob(
  directory: string,
  { id }: Pick<Submission, 'id'>,
  processes: Pick<RunProcesses, 'jobs'>,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent> {
  let askedMs = Number.NEGATIVE_INFINITY
  const ended = async (): Promise<boolean> => {
    if ((await lastStart(directory, id)) !== null) return true
    if (performance.now() - askedMs < ASK_MS) return false
    askedMs = performance.now()
    // a controller that does not answer ends no job
    const states = await processes.jobs([id]).catch(() => null)
    return states?.get(id)?.ended ?? false
  }
  return followEvents(directory, ended, signal)
}
