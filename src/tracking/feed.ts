import { setTimeout as timer } from 'node:timers/promises'
import { SupersededError } from '../errors.js'
import type { Outcome, StartedEvent } from '../training/events.js'
import { TrackerError } from './http.js'
import type { TrackingState } from './state.js'
import { StepReader } from './step-reader.js'
import type { TrackedStep } from './steps.js'
import type { OpenedRemote, Tracker, TrackerName } from './tracker.js'

/** Pause between two looks at the events of a running training. */
const POLL_MS = 1000
const BACKOFF_MS = 1000
const MAX_BACKOFF_MS = 60_000
/** Longest wait at the end of a run for a tracker that failed last. */
const FAILING_GRACE_MS = 1000

export interface FeedOptions {
  /** Receives a message when a tracker fails for the first time, and when it answers again. */
  readonly note: (text: string, level: 'info' | 'warning') => void
  /** Throws if another process has taken the run over; nothing is sent then. */
  readonly check?: () => void
  /** Wait; return early if the signal aborts. Default: a timer. */
  readonly pause?: (milliseconds: number, signal: AbortSignal) => Promise<void>
}

/** Result of a feed. */
export interface Sent {
  readonly tracker: TrackerName
  /** Id of the run on the tracker; null without one. */
  readonly run: string | null
  /** Number of values that this process sent. */
  readonly values: number
  /** Last step whose values the tracker has acknowledged; -1 before the first. */
  readonly step: number
  /** Why not all values are sent; null if all are. */
  readonly failure: Error | null
}

/**
 * Sends the figures of a run to one tracker, from its events file, without delaying the run: the file is the buffer. A failed
 * request is repeated with growing pauses, or as its answer demands. Only steps after the last acknowledged one are sent.
 * Steps whose request must not be repeated are skipped.
 */
export class Feed {
  readonly #reader: StepReader
  readonly #pause: NonNullable<FeedOptions['pause']>
  /** Aborts when the run ends: from then on, a failure ends the feed. */
  readonly #ending = new AbortController()
  readonly #cut = new AbortController()
  readonly #running: Promise<void>
  #outcome: Outcome | null = null
  /** Last step that was sent or skipped. */
  #step: number
  /** Last step that was skipped. */
  #skipped = Number.NEGATIVE_INFINITY
  #opened: OpenedRemote | null = null
  #failure: Error | null = null
  #noted = false
  #notedSkip = false
  #values = 0

  constructor(
    directory: string,
    private readonly tracker: Tracker,
    private readonly state: TrackingState,
    private readonly options: FeedOptions,
  ) {
    this.#reader = new StepReader(directory)
    this.#pause = options.pause ?? pauseFor
    this.#step = this.#reached().step
    this.#running = this.#run().catch((error: Error) => {
      // an unhandled rejection would end the training
      this.#failure = error
    })
  }

  /**
   * Send the remaining values and the outcome, and close the tracker.
   * @param outcome null: the process of the run was killed
   * @param bounded false: wait as long as the tracker answers
   */
  async end(outcome: Outcome | null, bounded = true): Promise<Sent> {
    this.#outcome = outcome
    this.#ending.abort()
    const grace = this.#failure === null ? this.tracker.graceMs : FAILING_GRACE_MS
    const timeout = bounded ? setTimeout(() => this.#cut.abort(), grace) : undefined
    await this.#running
    clearTimeout(timeout)
    const { run, step } = this.#reached()
    return { tracker: this.tracker.name, run, values: this.#values, step, failure: this.#failure }
  }

  /** Stop at once, because another process owns the run. */
  async abandon(): Promise<void> {
    this.#ending.abort()
    this.#cut.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    try {
      for (let failures = 0; ; ) {
        const ending = this.#ending.signal.aborted
        try {
          const atEnd = await this.#sendNext(ending)
          // else nothing was accepted after the skipped steps
          if (this.#step > this.#skipped) {
            failures = 0
            if (this.#noted && this.#failure !== null && !isFinal(this.#failure))
              this.options.note(`${this.tracker.name}: the tracker answers again`, 'info')
            this.#failure = null
          }
          if (atEnd && ending) return
          if (atEnd) await this.#pause(POLL_MS, this.#ending.signal)
        } catch (error) {
          if (error instanceof SupersededError) return
          // what the tracker has received is unknown: it is asked again, from the last acknowledged step on
          this.#opened = null
          this.#step = Math.max(this.#reached().step, this.#skipped)
          this.#report(error as Error)
          // two refusals in succession: the tracker refuses all requests
          const skips = isFinal(error) && failures === 0
          if ((ending && !skips) || this.#cut.signal.aborted) return
          const backoff = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** failures++)
          const demanded = error instanceof TrackerError ? error.retryAfterMs : 0
          await this.#pause(Math.max(backoff, demanded), this.#ending.signal)
        }
      }
    } finally {
      await this.#reader.close()
      await this.tracker.close().catch(() => {})
    }
  }

  /** Send the next complete steps; return whether there are no more. */
  async #sendNext(ending: boolean): Promise<boolean> {
    const { tracker, options } = this
    if (tracker.atEnd && !ending) return true
    const { steps, started, atEnd } = await this.#reader.next(this.#step)
    options.check?.()
    const ends = ending && atEnd
    if (started === null || (steps.length === 0 && !ends)) return true
    // all is written
    if (tracker.atEnd && steps.length === 0 && this.#opened === null) return true
    const signal = this.#cut.signal
    this.#opened ??= await this.#open(started)
    const missing = steps.map((step) => this.#missing(step)).filter((step) => step !== null)
    if (missing.length > 0)
      await tracker.send(missing, started, signal).catch((error: unknown) => {
        if (isFinal(error)) this.#skipped = steps.at(-1)!.step
        throw error
      })
    for (const { values } of missing) this.#values += Object.keys(values).length
    this.#step = steps.at(-1)?.step ?? this.#step
    if (!tracker.atEnd && steps.length > 0) await this.#record({ step: this.#step })
    if (!ends) return atEnd
    await tracker.end(this.#outcome, this.#endTime(steps.at(-1)), signal)
    if (tracker.atEnd) await this.#record({ step: this.#step })
    return true
  }

  async #open(started: StartedEvent): Promise<OpenedRemote> {
    const { run } = this.#reached()
    const opened = await this.tracker.open({ id: this.state.id, run }, started, this.#cut.signal)
    if (opened.run !== run) await this.#record({ run: opened.run })
    return opened
  }

  /** Return the values of a step that the tracker does not have; null for none. */
  #missing(step: TrackedStep): TrackedStep | null {
    const values = Object.entries(step.values).filter(([figure]) => step.step > this.#opened!.last(figure))
    return values.length === 0 ? null : { ...step, values: Object.fromEntries(values) }
  }

  /** Return when the run ended, in Unix milliseconds. */
  #endTime(last: TrackedStep | undefined): number {
    const { finished } = this.#reader
    return finished === null ? (last?.timeMs ?? Date.now()) : Date.parse(finished.time)
  }

  #reached() {
    return this.state.of(this.tracker.name, this.tracker.at)
  }

  #record(change: { readonly run?: string | null; readonly step?: number }): Promise<void> {
    return this.state.set(this.tracker.name, { ...this.#reached(), ...change })
  }

  #report(error: Error): void {
    // the message of the first failure explains more than that of a cut-off request
    if (!this.#cut.signal.aborted || this.#failure === null) this.#failure = error
    if (isFinal(error)) {
      if (!this.#notedSkip)
        this.options.note(
          `${error.message}; these values are skipped, because they must not be sent again`,
          'warning',
        )
      this.#notedSkip = true
      return
    }
    if (this.#noted || this.#ending.signal.aborted) return
    this.#noted = true
    this.options.note(`${error.message}; the values stay in events.jsonl and are sent later`, 'warning')
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof TrackerError && error.isFinal
}

async function pauseFor(milliseconds: number, signal: AbortSignal): Promise<void> {
  await timer(milliseconds, undefined, { signal }).catch(() => {})
}
