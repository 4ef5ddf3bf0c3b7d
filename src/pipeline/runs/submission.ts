import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { HISTORY_FILE, SUBMISSION_FOLDER } from '../../cluster/folders.js'
import { readForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { QueuedJob } from '../../training/run-summary.js'
import { writeWhole } from '../../whole-file.js'

/** File in a run directory with the job that runs it. */
export const SUBMISSION_FILE = 'submission.json'

/** Job of a cluster that runs in a directory. */
export interface Submission {
  readonly scheduler: 'slurm'
  /** Id of the job. */
  readonly id: string
  readonly name: string
  /** ISO 8601. */
  readonly submitted: string
  /** Configuration of the run; null for another command. */
  readonly config: string | null
  /** Job that must complete first; null for none. */
  readonly after: { readonly id: string; readonly directory: string } | null
}

/** A start of a job that ended by itself. */
export interface JobStart {
  readonly job: string
  readonly restart: number
  readonly exitCode: number
  readonly requeued: boolean
  /** ISO 8601. */
  readonly time: string
}

export async function writeSubmission(directory: string, submission: Submission): Promise<void> {
  await writeWhole(join(directory, SUBMISSION_FILE), `${JSON.stringify(submission, null, 2)}\n`)
}

/** Return the job of a directory; null if none was submitted for it. */
export async function readSubmission(directory: string): Promise<Submission | null> {
  try {
    const found = (await readForeignJson(join(directory, SUBMISSION_FILE))) as Submission
    const whole =
      found.scheduler === 'slurm' && typeof found.id === 'string' && typeof found.name === 'string'
    return whole && /^[\w.-]+$/.test(found.id) ? found : null
  } catch {
    return null
  }
}

/** Return the starts of a job that ended by themselves, oldest first. A lost node ends a start without a record. */
export async function readStarts(directory: string, id: string): Promise<JobStart[]> {
  const path = join(directory, SUBMISSION_FOLDER, HISTORY_FILE)
  const exists = await stat(path).catch(() => null)
  if (exists === null) return []
  const found: JobStart[] = []
  for await (const start of readJsonLog<JobStart>(path)) if (start.job === id) found.push(start)
  return found
}

/** Return the last start of a job if it was not requeued, so that the job has ended; null otherwise. */
export async function lastStart(directory: string, id: string): Promise<JobStart | null> {
  const last = (await readStarts(directory, id)).at(-1)
  return last === undefined || last.requeued ? null : last
}

/** Return the state of a job in words. */
export function jobInWords({ scheduler, id, state, reason, restarts }: QueuedJob): string {
  const name = scheduler === 'slurm' ? 'Slurm' : 'Kubernetes'
  const requeues = restarts === 0 ? '' : `, requeued ${restarts} ${restarts === 1 ? 'time' : 'times'}`
  return `${name} job ${id} ${state}${reason === null ? '' : ` (${reason})`}${requeues}`
}
