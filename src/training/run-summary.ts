import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { latestCheckpoint } from './checkpoints.js'
import { readEvents } from './event-log.js'
import type { JobKind, Outcome } from './events.js'
import type { RunStatus } from './run.js'
import { readExit } from './run-directory.js'

/** Where a run is, from what it left on disk and what its process says, if one lives. */
export interface RunSummary {
  readonly directory: string
  readonly name: string
  /** Null for a broken run. */
  readonly job: JobKind | null
  /**
   * `died`: no process and no record of an end. `unresponsive`: a process holds the run and does not answer (suspended, or
   * on another host). `broken`: what it left cannot be read; `reason` says why.
   */
  readonly state: RunStatus['phase'] | Outcome | 'died' | 'unresponsive' | 'broken'
  readonly reason: string | null
  /** The next step to run. */
  readonly step: number
  readonly steps: number | null
  /** ISO 8601. */
  readonly begun: string | null
  /** Of the last step. */
  readonly losses: Readonly<Record<string, number>>
  readonly learningRate: number | null
  /** Of the best validation. */
  readonly tumorDice: number | null
  readonly bestStep: number | null
  readonly checkpoint: string | null
  /** Live commands that took effect. */
  readonly commands: readonly string[]
}

/**
 * @param status of the living process; null when there is none that answers
 * @param holder in words, of a process that holds the run without an answer
 */
export async function summariseRun(
  directory: string,
  config: RunConfig,
  status: RunStatus | null,
  holder: string | null = null,
): Promise<RunSummary> {
  const told = await toldByEvents(directory)
  const exit = status === null && holder === null ? await readExit(directory) : null
  return {
    directory,
    name: config.name,
    job: config.job,
    ...told,
    state: status?.phase ?? exit?.outcome ?? (holder === null ? 'died' : 'unresponsive'),
    reason: exit?.reason ?? holder,
    step: status?.step ?? exit?.step ?? told.step,
    steps: status?.steps ?? told.steps,
    checkpoint: await latestCheckpoint(directory),
  }
}

/** A run whose files cannot be read. */
export function brokenRun(directory: string, reason: string): RunSummary {
  return {
    ...NOTHING_TOLD,
    directory,
    name: basename(directory),
    job: null,
    state: 'broken',
    reason,
    checkpoint: null,
  }
}

type Told = Pick<
  RunSummary,
  'begun' | 'step' | 'steps' | 'losses' | 'learningRate' | 'tumorDice' | 'bestStep' | 'commands'
>

const NOTHING_TOLD: Told = {
  begun: null,
  step: 0,
  steps: null,
  losses: {},
  learningRate: null,
  tumorDice: null,
  bestStep: null,
  commands: [],
}

async function toldByEvents(directory: string): Promise<Told> {
  const path = join(directory, 'events.jsonl')
  let told = NOTHING_TOLD
  const exists = await stat(path).catch(() => null)
  if (!exists) return told
  for await (const event of readEvents(path)) {
    told = { ...told, begun: told.begun ?? event.time }
    if (event.type === 'started') told = { ...told, steps: event.steps }
    else if (event.type === 'step')
      told = { ...told, step: event.step + 1, losses: event.losses, learningRate: event.learningRate }
    else if (event.type === 'validation' && event.best)
      told = { ...told, tumorDice: event.tumorDice, bestStep: event.step }
    else if (event.type === 'command') {
      const value = event.value === undefined ? '' : ` ${event.value}`
      told = { ...told, commands: [...told.commands, `${event.command}${value} from step ${event.step} on`] }
    }
  }
  return told
}
