import {
  cardOf,
  type FailureCard,
  type PastDeath,
  type RestartPolicy,
  restartAfter,
} from '../training/failure.js'
import type { Untimed } from '../training/journal.js'

/** Where a life begins: a checkpoint, or on another host than node 0 the step that is known of it. */
export interface StartPoint {
  readonly step: number
  readonly directory: string | null
}

/** A job that may die and be begun again. */
export interface Mortal<T> {
  /** One life: from a checkpoint, or (null) as it was begun. */
  live(from: StartPoint | null | undefined): Promise<T>
  /** The step that is to run, and the newest one that was saved. */
  place(): { readonly step: number; readonly savedStep: number }
  /** A life ended badly; told before it is decided whether another follows. */
  died(card: FailureCard): Promise<void>
  /** Waits; throws when the run is stopped meanwhile. */
  rest(seconds: number): Promise<void>
  /** Puts all that is recorded back to the newest whole checkpoint; null: to the beginning. */
  rewind(): Promise<StartPoint | null>
  tell(event: Untimed): void
}

/**
 * Lives a job to its end: a death that may be survived is followed by another life, from the newest whole checkpoint, as
 * often as the policy allows without a new one (ARCHITECTURE: the supervisor restarts, torchrun does not).
 * @throws what ended the last life
 */
export async function surviveDeaths<T>(job: Mortal<T>, policy: RestartPolicy): Promise<T> {
  let from: StartPoint | null | undefined
  let restarts = 0
  let before: PastDeath | null = null
  for (;;) {
    const { savedStep } = job.place()
    try {
      return await job.live(from)
    } catch (error) {
      const card = cardOf(error)
      if (card === null) throw error
      await job.died(card)
      const place = job.place()
      if (place.savedStep > savedStep) restarts = 0
      const seconds = restartAfter(error, place.step, before, restarts, policy)
      if (seconds === null) throw error
      await job.rest(seconds)
      restarts++
      before = { step: place.step, message: card.message }
      from = await job.rewind()
      job.tell({
        type: 'restart',
        step: from?.step ?? 0,
        diedAt: place.step,
        restart: restarts,
        kind: card.kind,
        reason: card.message,
      })
    }
  }
}
