import { join } from 'node:path'
import { RuntimeCrashError, StoppedError, UsageError } from '../../errors.js'
import { bestCheckpoint, latestCheckpoint } from '../../training/checkpoints.js'
import { readValidations } from '../../training/event-log.js'
import type { RunEvent } from '../../training/events.js'
import type { RunResult } from '../../training/run.js'
import { readExit } from '../../training/run-directory.js'
import type { RunSummary } from '../../training/run-summary.js'
import type { ControlledProcesses, RunControl } from '../ports/runs.js'
import type { JobScheduler } from '../ports/scheduler.js'
import { readArrayJobs } from '../runs/array.js'
import { followJob } from '../runs/follow.js'
import { knownJob } from '../runs/job-state.js'
import { summaryOfRun } from '../runs/list.js'
import type { SubmittedJob } from './run.js'

/** A training that a cluster runs. Iterate it for its events, over all starts of its job. */
export interface SubmittedRun extends AsyncIterable<RunEvent>, SubmittedJob {
  /** Warnings of the submission, such as paths that the pods of Kubernetes may lack. */
  readonly notes: readonly string[]
  /**
   * Wait for the end of the job; return its result.
   * @throws StoppedError if it was stopped or cancelled, RuntimeCrashError with the reason if it failed
   */
  result(): Promise<RunResult>
  /** Return the state of the run and of its job in the queue. */
  summary(): Promise<RunSummary>
  /** Save and end the run; a job that waits in the queue is cancelled. Resolve with the next step to run. */
  stop(reason?: string): Promise<number>
  pause(): Promise<number>
  unpause(): Promise<number>
  checkpoint(): Promise<number>
  setLearningRate(value: number): Promise<number>
}

/** Access to the job of a run, as its scheduler allows it. */
export interface JobAccess {
  events(): AsyncGenerator<RunEvent>
  /** Return the running run; null if no process answers. */
  connect(): Promise<RunControl | null>
  summary(): Promise<RunSummary>
  cancel(): Promise<void>
}

/** Return the handle of a training that Slurm runs. */
export function submittedRun(
  job: SubmittedJob,
  scheduler: JobScheduler,
  processes: ControlledProcesses,
): SubmittedRun {
  return handleOf(job, slurmAccess(job, scheduler, processes))
}

function slurmAccess(
  { id, directory }: SubmittedJob,
  scheduler: JobScheduler,
  processes: ControlledProcesses,
): JobAccess {
  const job = { scheduler: 'slurm', id, after: null, array: null, namespace: null } as const
  return {
    events: () => followJob(directory, () => knownJob(directory, job), processes),
    connect: () => processes.connect(directory),
    summary: () => summaryOfRun(directory, processes),
    cancel: () => cancelJob(directory, id, scheduler),
  }
}

/** Cancel a job; of an array, all its jobs. */
async function cancelJob(directory: string, id: string, scheduler: JobScheduler): Promise<void> {
  const cancelled = new Set<string>()
  for (;;) {
    // from the last one: a job that submits others comes before its tasks, and may still submit some
    const jobs = (await readArrayJobs(directory)).map(({ job }) => job).reverse()
    const left = (jobs.length > 0 ? jobs : [id]).filter((job) => !cancelled.has(job))
    if (left.length === 0) return
    for (const job of left) cancelled.add(job)
    await scheduler.cancel(...left)
  }
}

/** Return the handle of a submitted training. */
export function handleOf(
  { id, directory }: SubmittedJob,
  access: JobAccess,
  notes: readonly string[] = [],
): SubmittedRun {
  const control = async <T>(act: (run: RunControl) => Promise<T>): Promise<T> => {
    const run = await access.connect()
    if (run === null) throw notRunning(await access.summary())
    try {
      return await act(run)
    } finally {
      run.close()
    }
  }
  return {
    id,
    directory,
    notes,
    [Symbol.asyncIterator]: () => access.events(),
    summary: () => access.summary(),
    async result() {
      for await (const _ of access.events());
      return await resultOf(await access.summary())
    },
    stop: (reason = 'stop') => stopOrCancel(access, reason),
    pause: () => control((run) => run.pause()),
    unpause: () => control((run) => run.unpause()),
    checkpoint: () => control((run) => run.checkpoint()),
    setLearningRate: (value) => control((run) => run.setLearningRate(value)),
  }
}

/** Stop the run of a job, or cancel a job that has not started. Return the next step to run. */
export function stopJob(
  job: SubmittedJob,
  reason: string,
  scheduler: JobScheduler,
  processes: ControlledProcesses,
): Promise<number> {
  return stopOrCancel(slurmAccess(job, scheduler, processes), reason)
}

async function stopOrCancel(access: JobAccess, reason: string): Promise<number> {
  const run = await access.connect()
  try {
    if (run !== null) return await run.stop(reason)
  } finally {
    run?.close()
  }
  const summary = await access.summary()
  if (summary.queue === null || summary.queue.ended) throw notRunning(summary)
  await access.cancel()
  return summary.step
}

function notRunning({ directory, state, queue }: RunSummary): UsageError {
  const job = queue === null ? '' : `; job ${queue.id} is ${queue.state}`
  return new UsageError(`${directory}: not running (${state}${job})`, {
    hint: queue?.ended
      ? 'submit it again with `freetumor submit`'
      : 'repeat the command when the run has started',
  })
}

async function resultOf({ directory, state, reason }: RunSummary): Promise<RunResult> {
  const exit = await readExit(directory)
  const words = `${directory}: ${reason ?? state}`
  if (exit?.outcome !== 'completed' && state !== 'stopped')
    throw new RuntimeCrashError(words, { hint: `inspect ${directory}/logs` })
  if (exit === null) throw new StoppedError(words, { hint: 'submit it again with `freetumor submit`' })
  return {
    outcome: exit.outcome,
    reason: exit.reason,
    directory,
    step: exit.step,
    checkpoint: await latestCheckpoint(directory),
    best: await bestCheckpoint(directory),
    history: await readValidations(join(directory, 'events.jsonl')),
  }
}
