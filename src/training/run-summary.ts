import { stat } from 'node:fs/promises'
import { join } from 'node:path'
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
  readonly job: JobKind
  /** `died`: no process and no word of an end. */
  readonly state: RunStatus['phase'] | Outcome | 'died'
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

/** @param status of the living process; null when there is none */
export async function summariseRun(
  directory: string,
  config: RunConfig,
  status: RunStatus | null,
): Promise<RunSummary> {
  const told = await toldByEvents(directory)
  const exit = status === null ? await readExit(directory) : null
  return {
    directory,
    name: config.name,
    job: config.job,
    ...told,
    state: status?.phase ?? exit?.outcome ?? 'died',
    reason: exit?.reason ?? null,
    step: status?.step ?? exit?.step ?? told.step,
    steps: status?.steps ?? told.steps,
    checkpoint: await latestCheckpoint(directory),
  }
}

type Told = Pick<
  RunSummary,
  'begun' | 'step' | 'steps' | 'losses' | 'learningRate' | 'tumorDice' | 'bestStep' | 'commands'
>

async function toldByEvents(directory: string): Promise<Told> {
  const path = join(directory, 'events.jsonl')
  let told: Told = {
    begun: null,
    step: 0,
    steps: null,
    losses: {},
    learningRate: null,
    tumorDice: null,
    bestStep: null,
    commands: [],
  }
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
