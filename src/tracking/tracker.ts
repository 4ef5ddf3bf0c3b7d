import type { Outcome, StartedEvent } from '../training/events.js'
import type { TrackedStep } from './steps.js'

export const TRACKERS = ['mlflow', 'wandb', 'otlp'] as const
export type TrackerName = (typeof TRACKERS)[number]

/** Facts of a run that trackers receive in addition to its figures. */
export interface RunFacts {
  readonly version: string
  readonly seed: number
  /** Null unless `tracking.include` names it. */
  readonly name: string | null
  /** Configuration by dotted key; null unless `tracking.include` names it. */
  readonly config: Readonly<Record<string, string>> | null
}

/** A run on a tracker. */
export interface TrackedRun {
  /** Id of the run directory, the same after every resume. */
  readonly id: string
  /** Id that the tracker gave the run; null before the first contact, and for trackers that give none. */
  readonly run: string | null
}

export interface OpenedRemote {
  readonly run: string | null
  /** Return the last step of a figure that the tracker has; -1: none, or it cannot be asked. */
  readonly last: (figure: string) => number
}

/** A service that receives the figures of runs. Every function may fail, is tried again, and ends early if the signal aborts. */
export interface Tracker {
  readonly name: TrackerName
  /** Address of the service, without credentials. */
  readonly at: string
  /** True: the run is written as a whole when it ends, and `end` acknowledges it. */
  readonly atEnd: boolean
  /** Longest wait for the tracker at the end of a training. */
  readonly graceMs: number
  /** Find the run on the tracker, or create it; called before the first `send` and after a failure. */
  open(remote: TrackedRun, started: StartedEvent, signal: AbortSignal): Promise<OpenedRemote>
  /** Resolve when the tracker has acknowledged all values. */
  send(steps: readonly TrackedStep[], started: StartedEvent, signal: AbortSignal): Promise<void>
  /** Record the end of the run. Null: its process was killed. */
  end(outcome: Outcome | null, timeMs: number, signal: AbortSignal): Promise<void>
  /** Free what the tracker holds on this machine. */
  close(): Promise<void>
}
