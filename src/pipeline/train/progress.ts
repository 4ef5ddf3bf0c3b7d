import type { StepEvent } from '../../training/events.js'
import type { RunStatus } from '../../training/run.js'
import { deferred } from './deferred.js'
import type { Reached } from './restart.js'

/** Steps whose mean is the rate. */
const RATE_STEPS = 20

/** Phase, steps and rate of a run. */
export class Progress {
  phase: RunStatus['phase'] = 'checking'
  /** The next step to run. */
  step = 0
  /** Null until the data are known. */
  steps: number | null = null
  /** Losses and learning rate of the last step. */
  last: Pick<StepEvent, 'losses' | 'learningRate'> | null = null
  #savedStep = -1
  /** When the last steps ended, in milliseconds, oldest first. */
  #ends: number[] = []
  #saved = deferred<void>()

  constructor() {
    this.#saved.promise.catch(() => {})
  }

  get reached(): Reached {
    return { step: this.step, savedStep: this.#savedStep }
  }

  /** Go to the step of a checkpoint; null: to step 0, without one. */
  startFrom(checkpoint: { readonly step: number } | null): void {
    this.step = checkpoint?.step ?? 0
    this.#savedStep = checkpoint?.step ?? -1
  }

  /** Record that a step ended. */
  stepped(event: Pick<StepEvent, 'step' | 'losses' | 'learningRate'>, nowMs = performance.now()): void {
    this.step = event.step + 1
    this.last = event
    this.#ends = [...this.#ends, nowMs].slice(-RATE_STEPS - 1)
  }

  /** Return the rate of the last steps; null before the second one. A pause does not count. */
  stepsPerSecond(): number | null {
    const [first] = this.#ends
    const last = this.#ends.at(-1)
    if (first === undefined || last === undefined || last <= first) return null
    return ((this.#ends.length - 1) * 1000) / (last - first)
  }

  /** Forget the rate: the time until the next step is no step time. */
  interrupted(): void {
    this.#ends = []
  }

  /** Record that the runtime starts at this step. */
  started(step: number): void {
    this.phase = 'training'
    this.step = step
    this.interrupted()
    if (step > 0) this.#savedStep = step // node 0 starts from a checkpoint of this step
  }

  saved(step: number): void {
    this.#savedStep = step
    this.#saved.resolve()
    this.#saved = deferred()
    this.#saved.promise.catch(() => {})
  }

  /** Resolve once a checkpoint of this step or a later one is saved; reject if the run ends first. */
  async untilSaved(step: number): Promise<void> {
    while (this.#savedStep < step) await this.#saved.promise
  }

  end(reason: unknown): void {
    this.phase = 'ended'
    // after the failure of the run, no further checkpoint is written
    this.#saved.reject(reason)
  }
}
