import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { FinishedEvent, RunEvent, StartedEvent } from '../training/events.js'
import { FileFollower } from '../training/line-follower.js'
import { figuresOf, type TrackedStep } from './steps.js'

/** Largest number of values of a batch: MLflow takes 1000 in a request. */
const MAX_VALUES = 900

/** Complete steps of a run in their order. */
export interface StepBatch {
  readonly steps: readonly TrackedStep[]
  /** Newest start of the run before the end of the batch; null only for an empty batch. */
  readonly started: StartedEvent | null
  /** False if more complete steps are in the file. */
  readonly atEnd: boolean
}

interface OpenStep {
  timeMs: number | null
  readonly values: Record<string, number>
}

/**
 * Reads the complete steps of a run from its events, also while the run writes them, with bounded memory. A step is complete
 * when the next one ends, or when the run starts after it or finishes: then its validation is in the file.
 */
export class StepReader {
  readonly #follower: FileFollower
  readonly #open = new Map<number, OpenStep>()
  #complete: TrackedStep[] = []
  #started: StartedEvent | null = null
  /** The last end of the run; null if a start follows it. */
  finished: FinishedEvent | null = null

  constructor(directory: string) {
    const path = join(directory, 'events.jsonl')
    this.#follower = new FileFollower(() => open(path).catch(() => null), path, {
      // a restart or a resume has removed the last events; steps that were sent are skipped
      reset: () => {
        this.#open.clear()
        this.#complete = []
        this.finished = null
      },
      line: (value) => this.#take(value as RunEvent),
      damaged: () => {},
    })
  }

  /** Return the next complete steps after a step; the same again until `after` is one of them. */
  async next(after: number): Promise<StepBatch> {
    let more = true
    this.#dropUntil(after)
    while (more && valuesOf(this.#complete) < MAX_VALUES) {
      more = await this.#follower.poll(1)
      this.#dropUntil(after)
    }
    const steps = firstOf(this.#complete)
    return { steps, started: this.#started, atEnd: !more && steps.length === this.#complete.length }
  }

  close(): Promise<void> {
    return this.#follower.close()
  }

  #dropUntil(after: number): void {
    this.#complete = this.#complete.filter(({ step }) => step > after)
  }

  #take(event: RunEvent): void {
    if (event.type === 'started') {
      this.#started = event
      this.finished = null
    }
    if (event.type === 'finished') this.finished = event
    const figures = figuresOf(event)
    if (figures !== null) {
      const step = this.#open.get(figures.step) ?? { timeMs: null, values: {} }
      Object.assign(step.values, figures.values)
      if (event.type === 'step') step.timeMs = Date.parse(event.time)
      this.#open.set(figures.step, step)
    }
    if (event.type === 'step' || event.type === 'started' || event.type === 'finished')
      this.#completeBefore(event.step)
  }

  #completeBefore(step: number): void {
    const done = [...this.#open].filter(([number]) => number < step).sort(([a], [b]) => a - b)
    for (const [number, { timeMs, values }] of done) {
      this.#open.delete(number)
      if (timeMs !== null && Number.isFinite(timeMs)) this.#complete.push({ step: number, timeMs, values })
    }
  }
}

function valuesOf(steps: readonly TrackedStep[]): number {
  return steps.reduce((sum, { values }) => sum + Object.keys(values).length, 0)
}

/** Return the first steps that fit a request, at least one. */
function firstOf(steps: readonly TrackedStep[]): TrackedStep[] {
  let values = 0
  const end = steps.findIndex((step) => {
    values += Object.keys(step.values).length
    return values > MAX_VALUES
  })
  return end < 0 ? [...steps] : steps.slice(0, Math.max(1, end))
}
