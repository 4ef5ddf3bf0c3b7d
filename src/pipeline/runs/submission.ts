import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { HISTORY_FILE, SUBMISSION_FILE, SUBMISSION_FOLDER } from '../../cluster/folders.js'
import { SCHEDULERS, type Scheduler } from '../../cluster/job.js'
import { readForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { QueuedJob } from '../../training/run-summary.js'
import { writeWhole } from '../../whole-file.js'

/** Job of a cluster that runs in a directory. */
export interface Submission {
  readonly scheduler: Scheduler
  /** Id of the job; of an array, that of its first job. */
  readonly id: string
  readonly name: string
  /** ISO 8601. */
  readonly submitted: string
  /** Configuration of the run; null for another command. */
  readonly config: string | null
  /** Job that must complete first; null for none. */
  readonly after: { readonly id: string; readonly directory: string } | null
  /** Null for a job without `--array`; its jobs are in `submission/jobs.jsonl`. */
  readonly array: SubmittedArray | null
  /** Namespace of Kubernetes; null for that of the context, and on Slurm. */
  readonly namespace: string | null
}

/** A command over many cases as job arrays. */
export interface SubmittedArray {
  readonly shards: number
  /** The submitted shards, such as `1-20`. */
  readonly selected: string
  /** Command that submitted it, without `--only`. */
  readonly commandLine: string
}

/** A start of a job that ended by itself. */
export interface JobStart {
  readonly job: string
  readonly restart: number
  readonly exitCode: number
  readonly requeued: boolean
  /** ISO 8601. */
  readonly time: string
  /** Shard of a task of an array. */
  readonly shard?: number
}

export async function writeSubmission(directory: string, submission: Submission): Promise<void> {
  await writeWhole(join(directory, SUBMISSION_FILE), `${JSON.stringify(submission, null, 2)}\n`)
}

/** Return the job of a directory; null if none was submitted for it. */
export async function readSubmission(directory: string): Promise<Submission | null> {
  try {
    const found = (await readForeignJson(join(directory, SUBMISSION_FILE))) as Submission
    const { scheduler, id, name, array = null, namespace = null } = found
    if (!SCHEDULERS.includes(scheduler) || typeof name !== 'string' || !/^[\w./-]+$/.test(id)) return null
    if (namespace !== null && !/^[a-z0-9-]+$/.test(namespace)) return null
    return { ...found, config: found.config ?? null, after: found.after ?? null, array, namespace }
  } catch {
    return null
  }
}

/** Return the starts of all jobs of a directory that ended by themselves, oldest first. A lost node leaves no record. */
export async function readHistory(directory: string): Promise<JobStart[]> {
  const path = join(directory, SUBMISSION_FOLDER, HISTORY_FILE)
  const exists = await stat(path).catch(() => null)
  if (exists === null) return []
  const found: JobStart[] = []
  for await (const start of readJsonLog<JobStart>(path)) found.push(start)
  return found
}

/** Return the last start of a job if it was not requeued, so that the job has ended; null otherwise. */
export async function lastStart(directory: string, id: string): Promise<JobStart | null> {
  const last = (await readHistory(directory)).findLast(({ job }) => job === id)
  return last === undefined || last.requeued ? null : last
}

/** Return the state of a job in words. */
export function jobInWords({ scheduler, id, state, reason, restarts }: QueuedJob): string {
  const name = scheduler === 'slurm' ? 'Slurm' : 'Kubernetes'
  const requeues = restarts === 0 ? '' : `, requeued ${restarts} ${restarts === 1 ? 'time' : 'times'}`
  return `${name} job ${id} ${state}${reason === null ? '' : ` (${reason})`}${requeues}`
}
