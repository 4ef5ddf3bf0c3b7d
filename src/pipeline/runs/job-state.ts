import { readExit } from '../../training/run-directory.js'
import type { QueuedJob } from '../../training/run-summary.js'
import type { RunProcesses } from '../ports/runs.js'
import { arrayState, openJobs, readArray } from './array.js'
import { lastStart, type Submission } from './submission.js'

type Job = Pick<Submission, 'scheduler' | 'id' | 'after' | 'array' | 'namespace'>

/** State of a job; `open` are the ids that its scheduler must be asked for. */
export interface KnownJob {
  readonly open: readonly string[]
  state(states: Awaited<ReturnType<RunProcesses['jobs']>>): Promise<QueuedJob> | QueuedJob
}

/** Return the state of the job of a directory. @throws EnvironmentError if the scheduler does not answer */
export async function jobState(
  directory: string,
  submission: Job,
  jobs: RunProcesses['jobs'],
): Promise<QueuedJob> {
  const known = await knownJob(directory, submission)
  return await known.state(await jobs(known.open))
}

/** Return the state of a job as far as the files of its directory have it. */
export async function knownJob(directory: string, submission: Job): Promise<KnownJob> {
  const { scheduler, id, array } = submission
  if (scheduler === 'kubernetes') return { open: [], state: () => onKubernetes(submission) }
  if (array !== null) {
    const record = await readArray(directory, array)
    return { open: openJobs(record), state: (states) => ({ scheduler, ...arrayState(record, states) }) }
  }
  const end = await lastStart(directory, id)
  if (end !== null) {
    const state = end.exitCode === 0 ? 'completed' : end.exitCode === 75 ? 'stopped' : 'failed'
    return {
      open: [],
      state: () => ({ scheduler, id, state, reason: null, restarts: end.restart, ended: true }),
    }
  }
  return {
    open: [id],
    async state(states) {
      const found = states.get(id)!
      const reason = found.ended ? ((await whyCancelled(submission)) ?? found.reason) : found.reason
      return { scheduler, id, ...found, reason }
    },
  }
}

/** The pods write into the directory; the queue of the cluster may be out of reach of this machine. */
function onKubernetes({ scheduler, id, namespace }: Job): QueuedJob {
  const where = namespace === null ? '' : ` --namespace ${namespace}`
  const reason = `\`kubectl get ${id}${where}\` prints its state`
  return { scheduler, id, state: 'submitted', reason, restarts: 0, ended: false }
}

/** Return why the job before a cancelled one of a chain failed; null for a job without one. */
async function whyCancelled({ after }: Job): Promise<string | null> {
  if (after === null) return null
  const exit = await readExit(after.directory)
  const reason = exit === null ? 'did not complete' : `${exit.outcome}: ${exit.reason}`
  return exit?.outcome === 'completed' ? null : `job ${after.id} in ${after.directory} ${reason}`
}
