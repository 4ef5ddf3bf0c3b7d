import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ARRAY_SCRIPTS, JOBS_FILE, SUBMISSION_FOLDER } from '../../cluster/folders.js'
import { numbersOf, rangesOf } from '../../cluster/ranges.js'
import { readJsonLog } from '../../jsonl.js'
import type { QueuedJob } from '../../training/run-summary.js'
import type { QueueState } from '../ports/scheduler.js'
import { type JobStart, readHistory, type SubmittedArray } from './submission.js'

/** A job of an array that was submitted. */
export interface ArrayJob {
  /** Id of the job. */
  readonly job: string
  /** Name of its script in `submission/`. */
  readonly script: string
}

/** Return the jobs of an array that were submitted so far, oldest first. */
export async function readArrayJobs(directory: string): Promise<ArrayJob[]> {
  const path = join(directory, SUBMISSION_FOLDER, JOBS_FILE)
  const found: ArrayJob[] = []
  if ((await stat(path).catch(() => null)) === null) return found
  for await (const line of readJsonLog<ArrayJob>(path))
    if (/^\d+$/.test(line.job) && typeof line.script === 'string') found.push(line)
  return found
}

/** Jobs of an array, and the ends of their starts. */
export interface ArrayRecord {
  readonly array: SubmittedArray
  readonly jobs: readonly ArrayJob[]
  /** Last start of each shard that ended by itself. */
  readonly shards: ReadonlyMap<number, JobStart>
  /** End of the merge; null while it has not ended. */
  readonly merge: JobStart | null
}

export async function readArray(directory: string, array: SubmittedArray): Promise<ArrayRecord> {
  const jobs = await readArrayJobs(directory)
  const ids = new Set(jobs.map(({ job }) => job))
  const merge = jobs.find(({ script }) => script === ARRAY_SCRIPTS.merge)?.job
  const shards = new Map<number, JobStart>()
  let end: JobStart | null = null
  for (const start of await readHistory(directory)) {
    if (!ids.has(start.job)) continue
    if (start.shard !== undefined) shards.set(start.shard, start)
    if (start.job === merge) end = start.requeued ? null : start
  }
  return { array, jobs, shards, merge: end }
}

/** Return the ids of an array whose states its files do not state; none after its merge has ended. */
export function openJobs({ jobs, merge }: ArrayRecord): string[] {
  return merge === null ? jobs.map(({ job }) => job) : []
}

/** Return the state of an array from its files, and from the states of its open jobs. */
export function arrayState(
  { array, jobs, shards, merge }: ArrayRecord,
  states: ReadonlyMap<string, QueueState>,
): Omit<QueuedJob, 'scheduler'> {
  const numbers = (wanted: (start: JobStart) => boolean): number[] =>
    [...shards].flatMap(([shard, start]) => (wanted(start) ? [shard] : [])).sort((a, b) => a - b)
  const completed = numbers(({ exitCode, requeued }) => exitCode === 0 && !requeued)
  const failed = numbers(({ exitCode, requeued }) => exitCode !== 0 && !requeued)
  const done = new Set(completed)
  const selected = numbersOf(array.selected, array.shards, 'submission.json')
  const open = selected.filter((shard) => !done.has(shard))
  const queued = jobs.flatMap(({ job }) => states.get(job) ?? [])
  const ended = merge !== null || queued.every((one) => one.ended)
  const facts = [
    `${completed.length} of ${selected.length} shards complete`,
    ...(failed.length === 0 ? [] : [`failed: ${rangesOf(failed)}`]),
    ...(ended ? [] : waiting(queued)),
  ]
  return {
    id: jobs.map(({ job }) => job).join(','),
    state: merge === null ? stateOf(queued, ended) : merge.exitCode === 0 ? 'completed' : 'failed',
    reason: facts.join('; '),
    restarts: Math.max(0, ...[...shards.values()].map(({ restart }) => restart)),
    ended,
    shards: {
      count: array.shards,
      completed,
      failed,
      again: ended && open.length > 0 ? againOf(array, open) : null,
    },
  }
}

function stateOf(queued: readonly QueueState[], ended: boolean): string {
  const first = queued.find(({ state }) => state === 'running') ?? queued.find((one) => !one.ended)
  if (!ended) return first!.state
  return queued.some(({ state }) => state === 'cancelled') ? 'cancelled' : 'failed'
}

/** Return the numbers of tasks that have not ended, by their state. */
function waiting(queued: readonly QueueState[]): string[] {
  const counts = new Map<string, number>()
  for (const { tasks = {} } of queued)
    for (const [state, count] of Object.entries(tasks)) counts.set(state, (counts.get(state) ?? 0) + count)
  return ['running', 'pending'].flatMap((state) =>
    counts.has(state) ? [`${counts.get(state)} ${state}`] : [],
  )
}

/** Return the command that submits only these shards again. */
function againOf({ commandLine }: SubmittedArray, shards: readonly number[]): string {
  const at = commandLine.indexOf(' -- ')
  return `${commandLine.slice(0, at)} --only ${rangesOf(shards)}${commandLine.slice(at)}`
}
