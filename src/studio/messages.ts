import type { Difference } from '../config/differences.js'
import type { FailureCard } from '../errors.js'
import type { RunEvent } from '../training/events.js'
import type { RunSummary } from '../training/run-summary.js'

/** A run in the list. */
export interface RunRow extends RunSummary {
  /** Names the run in requests; derived from its directory. */
  readonly id: string
  readonly device: string | null
  readonly worldSize: number | null
  /** Null unless a process of this machine trains the run. */
  readonly stepsPerSecond: number | null
  readonly secondsLeft: number | null
  /** True while the server still reads the events: step and losses are those read so far. */
  readonly reading: boolean
}

export interface RunList {
  readonly runs: readonly RunRow[]
  /** Runs that are not listed, because the list is full. */
  readonly unlisted: number
  readonly folders: readonly string[]
  /** True if the server accepts commands. */
  readonly control: boolean
}

export interface RunDetail {
  /** Keys that differ from the defaults. */
  readonly differences: readonly Difference[]
  /** The resolved configuration as YAML; null if it cannot be read. */
  readonly configText: string | null
  readonly logs: readonly RankLogName[]
  readonly problems: readonly string[]
}

export interface RankLogName {
  readonly node: number
  readonly rank: number
  readonly bytes: number
}

/** Example tumors that a training kept, by organ. */
export interface ExampleTumors {
  readonly organs: readonly {
    readonly organ: string
    readonly accepted: readonly ExampleFigure[]
    readonly rejected: readonly ExampleFigure[]
    /** Tumors without a verdict, as in synthesis training. */
    readonly unjudged: readonly ExampleFigure[]
    /** A real tumor next to a synthetic one of similar size. */
    readonly pairs: readonly ExampleFigure[]
  }[]
  /** Advice for a run without pictures. */
  readonly advice: string
  readonly problems: readonly string[]
}

export interface ExampleFigure {
  readonly title: string
  /** The deciding measure, the origin and the intensity window. */
  readonly facts: readonly string[]
  readonly views: readonly ExampleView[]
}

/** A slice; rows from the top. */
export interface ExampleView {
  readonly title: string
  readonly alt: string
  readonly width: number
  readonly height: number
  readonly pixelMm: readonly [number, number]
  /** Sides of the body at the left, right, top and bottom. */
  readonly sides: readonly string[]
  /** Length of the scale bar; null without one. */
  readonly barMm: number | null
  /** Base64, one byte a pixel. */
  readonly gray: string
  /** A mask to outline, in base64, 1 inside; null without one. */
  readonly outline: string | null
}

/** Down-sampled series over steps. */
export interface CurveUpdate {
  readonly names: readonly string[]
  /** Number of bins that stay; the bins of this update follow them. */
  readonly from: number
  /** First step of each bin. */
  readonly steps: readonly number[]
  /** For each bin: mean, minimum and maximum of each name in turn, null without a value; trailing names may be missing. */
  readonly rows: readonly (readonly (number | null)[])[]
}

/** An event other than steps and tumors. */
export type Moment = Exclude<RunEvent, { type: 'step' | 'synthesis' }>

export interface TumorKindSum {
  readonly organ: string
  readonly size: string
  readonly kept: number
  readonly tried: number
  /** Mean over tumors. */
  readonly shareSeen: number
}

/** Changes of one run since the previous message of the same stream. */
export interface RunUpdate {
  readonly run: string
  readonly row?: RunRow
  /** True: forget everything received; the events were replaced, or this is the first message. */
  readonly reset?: boolean
  readonly curves?: Readonly<Record<CurveName, CurveUpdate>>
  readonly moments?: readonly Moment[]
  readonly kinds?: readonly TumorKindSum[]
  readonly damagedLines?: number
  /** The last failure of the runtime; null if there is none. */
  readonly failure?: FailureCard | null
  /** Set if the run can no longer be followed. */
  readonly error?: string
}

/**
 * `steps`: losses, learning rate, seconds, data wait, memory and utilization. `tumors`: detected fraction and acceptance rate,
 * in total, by organ, and by organ and size. `validations`: tumor Dice.
 */
export type CurveName = 'steps' | 'tumors' | 'validations'

export type RunCommand =
  | { readonly type: 'pause' | 'unpause' | 'checkpoint' | 'stop' }
  | { readonly type: 'setLearningRate'; readonly value: number }

export interface CommandResult {
  readonly command: RunCommand['type']
  /** Step at which the command took effect. */
  readonly step: number
}

export interface Refusal {
  readonly error: { readonly message: string; readonly hint: string }
}
