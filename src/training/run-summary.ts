import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { latestCheckpoint } from './checkpoints.js'
import { readEvents } from './event-log.js'
import type { JobKind, Outcome, RunEvent } from './events.js'
import type { RunStatus } from './run.js'
import { type ExitRecord, readExit } from './run-directory.js'

/** Job of a cluster that runs a training, with its state in the queue. */
export interface QueuedJob {
  readonly scheduler: 'slurm' | 'kubernetes'
  readonly id: string
  /** As the scheduler names it, in lower case: `pending`, `running`, `cancelled`, ... `unknown`: it has forgotten the job. `submitted`: its queue was not read. */
  readonly state: string
  /** Why it is pending or has ended; null if the scheduler states none. */
  readonly reason: string | null
  /** Number of requeues; always 0 on Kubernetes, which does not count them. */
  readonly restarts: number
  /** True if the job has ended and no start follows. */
  readonly ended: boolean
  /** Tasks of a job array by their state; absent for another job. */
  readonly tasks?: Readonly<Record<string, number>>
  /** Absent for a job without `--array`. */
  readonly shards?: ShardStates
}

/** Shards of a command that a cluster runs as job arrays. */
export interface ShardStates {
  /** Number of all shards. */
  readonly count: number
  /** Shards that ended in these jobs, increasing. */
  readonly completed: readonly number[]
  readonly failed: readonly number[]
  /** Command that submits the shards again that are not complete; null before the end of the jobs, and if there is none. */
  readonly again: string | null
}

/** State of a run, from its files and from its process if one runs. */
export interface RunSummary {
  readonly directory: string
  readonly name: string
  /** Null for a broken run, and for a job that is no training. */
  readonly job: JobKind | null
  /**
   * `died`: no process and no record of an end. `unresponsive`: a process holds the run and does not answer, because it is
   * suspended or on another node. `broken`: the files of the run cannot be read; `reason` has the error. `pending`: its job
   * waits in the queue of a cluster.
   */
  readonly state: RunStatus['phase'] | Outcome | 'died' | 'unresponsive' | 'broken' | 'pending'
  readonly reason: string | null
  /** The next step to run. */
  readonly step: number
  readonly steps: number | null
  /** ISO 8601. */
  readonly begun: string | null
  /** Losses of the last step. */
  readonly losses: Readonly<Record<string, number>>
  readonly learningRate: number | null
  /** Tumor Dice of the best validation. */
  readonly tumorDice: number | null
  readonly bestStep: number | null
  readonly checkpoint: string | null
  /** Job of a cluster that runs it; null without one. */
  readonly queue: QueuedJob | null
  /** Live commands that took effect. */
  readonly commands: readonly string[]
}

/**
 * Return the state of a run.
 * @param status of the running process; null if no process answers
 * @param holder description of a process that holds the run without an answer
 * @param queue job of a cluster that runs it
 * @param progress from the events of the run. Default: they are read
 */
export async function summariseRun(
  directory: string,
  config: { readonly name: string; readonly job: JobKind | null },
  status: RunStatus | null,
  holder: string | null = null,
  progress?: RunProgress,
  queue: QueuedJob | null = null,
): Promise<RunSummary> {
  const recorded = progress ?? (await readProgress(directory))
  const exit = status === null && holder === null ? await readExit(directory) : null
  return {
    directory,
    name: config.name,
    job: config.job,
    ...recorded,
    ...stateOf(status, exit, holder, queue),
    queue,
    step: status?.step ?? exit?.step ?? recorded.step,
    steps: status?.steps ?? recorded.steps,
    checkpoint: await latestCheckpoint(directory),
  }
}

function stateOf(
  status: RunStatus | null,
  exit: ExitRecord | null,
  holder: string | null,
  queue: QueuedJob | null,
): Pick<RunSummary, 'state' | 'reason'> {
  if (status !== null) return { state: status.phase, reason: null }
  if (exit?.outcome === 'completed') return { state: 'completed', reason: exit.reason }
  // an earlier start may have left its end
  if (queue !== null && !queue.ended && (queue.state !== 'submitted' || exit === null))
    return queue.state === 'running'
      ? { state: 'starting', reason: null }
      : { state: 'pending', reason: queue.reason }
  if (exit !== null) return { state: exit.outcome, reason: exit.reason }
  if (queue?.state === 'completed' || queue?.state === 'stopped')
    return { state: queue.state, reason: queue.reason }
  if (queue !== null)
    return {
      state: 'failed',
      reason: `its job is ${queue.state}${queue.reason === null ? '' : ` (${queue.reason})`}`,
    }
  return holder === null ? { state: 'died', reason: null } : { state: 'unresponsive', reason: holder }
}

/** Return the state of a run whose files cannot be read. */
export function brokenRun(directory: string, reason: string): RunSummary {
  return {
    ...NO_PROGRESS,
    directory,
    name: basename(directory),
    job: null,
    state: 'broken',
    reason,
    queue: null,
    checkpoint: null,
  }
}

/** Part of a summary that the events of a run decide. */
export type RunProgress = Pick<
  RunSummary,
  'begun' | 'step' | 'steps' | 'losses' | 'learningRate' | 'tumorDice' | 'bestStep' | 'commands'
>

/** Progress of a run without events. */
export const NO_PROGRESS: RunProgress = {
  begun: null,
  step: 0,
  steps: null,
  losses: {},
  learningRate: null,
  tumorDice: null,
  bestStep: null,
  commands: [],
}

async function readProgress(directory: string): Promise<RunProgress> {
  const path = join(directory, 'events.jsonl')
  let progress = NO_PROGRESS
  const exists = await stat(path).catch(() => null)
  if (!exists) return progress
  for await (const event of readEvents(path)) progress = withEvent(progress, event)
  return progress
}

/** Return the progress after one more event. */
export function withEvent(before: RunProgress, event: RunEvent): RunProgress {
  const progress = before.begun === null ? { ...before, begun: event.time } : before
  switch (event.type) {
    case 'started':
      return { ...progress, steps: event.steps }
    case 'step':
      return {
        ...progress,
        step: event.step + 1,
        losses: event.losses,
        learningRate: event.learningRate,
      }
    case 'validation':
      return event.best ? { ...progress, tumorDice: event.tumorDice, bestStep: event.step } : progress
    case 'command': {
      const value = event.value === undefined ? '' : ` ${event.value}`
      const command = `${event.command}${value} from step ${event.step} on`
      return { ...progress, commands: [...progress.commands, command] }
    }
    default:
      return progress
  }
}
