import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { latestCheckpoint } from './checkpoints.js'
import { readEvents } from './event-log.js'
import type { JobKind, Outcome } from './events.js'
import type { RunStatus } from './run.js'
import { readExit } from './run-directory.js'

/** State of a run, from its files and from its process if one runs. */
export interface RunSummary {
  readonly directory: string
  readonly name: string
  /** Null for a broken run. */
  readonly job: JobKind | null
  /**
   * `died`: no process and no record of an end. `unresponsive`: a process holds the run and does not answer, because it is
   * suspended or on another node. `broken`: the files of the run cannot be read; `reason` has the error.
   */
  readonly state: RunStatus['phase'] | Outcome | 'died' | 'unresponsive' | 'broken'
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
  /** Live commands that took effect. */
  readonly commands: readonly string[]
}

/**
 * Return the state of a run.
 * @param status of the running process; null if no process answers
 * @param holder description of a process that holds the run without an answer
 */
export async function summariseRun(
  directory: string,
  config: Pick<RunConfig, 'name' | 'job'>,
  status: RunStatus | null,
  holder: string | null = null,
): Promise<RunSummary> {
  const recorded = await readProgress(directory)
  const exit = status === null && holder === null ? await readExit(directory) : null
  return {
    directory,
    name: config.name,
    job: config.job,
    ...recorded,
    state: status?.phase ?? exit?.outcome ?? (holder === null ? 'died' : 'unresponsive'),
    reason: exit?.reason ?? holder,
    step: status?.step ?? exit?.step ?? recorded.step,
    steps: status?.steps ?? recorded.steps,
    checkpoint: await latestCheckpoint(directory),
  }
}

/** Return the state of a run whose files cannot be read. */
export function brokenRun(directory: string, reason: string): RunSummary {
  return {
    ...NOTHING_RECORDED,
    directory,
    name: basename(directory),
    job: null,
    state: 'broken',
    reason,
    checkpoint: null,
  }
}

type Recorded = Pick<
  RunSummary,
  'begun' | 'step' | 'steps' | 'losses' | 'learningRate' | 'tumorDice' | 'bestStep' | 'commands'
>

const NOTHING_RECORDED: Recorded = {
  begun: null,
  step: 0,
  steps: null,
  losses: {},
  learningRate: null,
  tumorDice: null,
  bestStep: null,
  commands: [],
}

async function readProgress(directory: string): Promise<Recorded> {
  const path = join(directory, 'events.jsonl')
  let recorded = NOTHING_RECORDED
  const exists = await stat(path).catch(() => null)
  if (!exists) return recorded
  for await (const event of readEvents(path)) {
    recorded = { ...recorded, begun: recorded.begun ?? event.time }
    if (event.type === 'started') recorded = { ...recorded, steps: event.steps }
    else if (event.type === 'step')
      recorded = { ...recorded, step: event.step + 1, losses: event.losses, learningRate: event.learningRate }
    else if (event.type === 'validation' && event.best)
      recorded = { ...recorded, tumorDice: event.tumorDice, bestStep: event.step }
    else if (event.type === 'command') {
      const value = event.value === undefined ? '' : ` ${event.value}`
      recorded = {
        ...recorded,
        commands: [...recorded.commands, `${event.command}${value} from step ${event.step} on`],
      }
    }
  }
  return recorded
}
