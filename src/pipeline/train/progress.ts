import type { RunStatus } from '../../training/run.js'
import { deferred } from './deferred.js'
import type { Reached } from './restart.js'

/** Phase and steps of a run. */
export class Progress {
  phase: RunStatus['phase'] = 'checking'
  /** The next step to run. */
  step = 0
  /** Null until the data are known. */
  steps: number | null = null
  #savedStep = -1
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

  /** Record that the runtime starts at this step. */
  started(step: number): void {
    this.phase = 'training'
    this.step = step
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
