import { UsageError } from '../../errors.js'
import type { LiveCommand, TrainingSession } from '../ports/training.js'
import { deferred } from './deferred.js'

/** Carries commands to a job that may die and be begun again: none is lost between its lives. */
export class CommandLine {
  #session = deferred<TrainingSession>()
  #renewed = deferred<void>()
  #stopWanted: string | null = null
  readonly #stopping = deferred<void>()
  #rate: { readonly step: number; readonly value: number } | null = null

  constructor() {
    this.#session.promise.catch(() => {})
    this.#renewed.promise.catch(() => {})
  }

  /** The reason of the stop that was asked for, whether the job obeyed it or not; null without one. */
  get stopWanted(): string | null {
    return this.#stopWanted
  }

  /** Resolves when a stop is asked for. */
  get stopping(): Promise<void> {
    return this.#stopping.promise
  }

  open(session: TrainingSession): void {
    this.#session.resolve(session)
  }

  /** The job has died and begins again at a step: a rate that was set since holds from there on. */
  renew(step: number): void {
    this.#session = deferred()
    this.#session.promise.catch(() => {})
    this.#renewed.resolve()
    this.#renewed = deferred()
    this.#renewed.promise.catch(() => {})
    if (this.#rate !== null && this.#rate.step > step)
      this.send({ type: 'setLearningRate', value: this.#rate.value }).catch(() => {})
  }

  /** The run is over: commands that wait reject with the reason. */
  end(error: unknown): void {
    this.#session.reject(error)
    this.#renewed.reject(error)
  }

  /** Resolves with the step from which on it holds; one that a death overtakes is given to the next life. */
  async send(command: LiveCommand): Promise<number> {
    if (command.type === 'stop') {
      this.#stopWanted ??= command.reason
      this.#stopping.resolve()
    }
    for (;;) {
      const [current, renewed] = [this.#session, this.#renewed]
      const session = await current.promise
      try {
        const step = await session.command(command)
        if (command.type === 'setLearningRate') this.#rate = { step, value: command.value }
        return step
      } catch (error) {
        if (error instanceof UsageError) throw error
        await renewed.promise
      }
    }
  }
}
