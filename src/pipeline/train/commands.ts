import { UsageError } from '../../errors.js'
import type { LiveCommand, TrainingSession } from '../ports/training.js'
import { deferred } from './deferred.js'

/** Passes commands to a job that may be restarted: a command between two attempts waits for the next attempt. */
export class CommandQueue {
  #session = deferred<TrainingSession>()
  #renewed = deferred<void>()
  #stopWanted: string | null = null
  readonly #stopping = deferred<void>()
  #rate: { readonly step: number; readonly value: number } | null = null

  constructor() {
    this.#session.promise.catch(() => {})
    this.#renewed.promise.catch(() => {})
  }

  /** Return the reason of the requested stop, also if the job has not obeyed it; null without one. */
  get stopWanted(): string | null {
    return this.#stopWanted
  }

  /** Resolves when a stop is requested. */
  get stopping(): Promise<void> {
    return this.#stopping.promise
  }

  open(session: TrainingSession): void {
    this.#session.resolve(session)
  }

  /** Expect the next attempt, from a step: a learning rate that was set for a later step is sent again. */
  renew(step: number): void {
    this.#session = deferred()
    this.#session.promise.catch(() => {})
    this.#renewed.resolve()
    this.#renewed = deferred()
    this.#renewed.promise.catch(() => {})
    if (this.#rate !== null && this.#rate.step > step)
      this.send({ type: 'setLearningRate', value: this.#rate.value }).catch(() => {})
  }

  /** Reject all waiting commands with the reason for which the run ended. */
  end(error: unknown): void {
    this.#session.reject(error)
    this.#renewed.reject(error)
  }

  /** Send a command; resolve with the first step to which it applies. If the attempt fails first, the next one gets it. */
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
