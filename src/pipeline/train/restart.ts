import { setTimeout } from 'node:timers/promises'
import { RuntimeCrashError, StoppedError } from '../../errors.js'
import { abortReason, isAbort } from '../../stop-signals.js'
import {
  cardOf,
  type FailureCard,
  type PastDeath,
  type RestartPolicy,
  restartAfter,
} from '../../training/failure.js'
import type { Untimed } from '../../training/journal.js'

/** Where a life begins: a checkpoint, or on another host than node 0 the step that is known of it. */
export interface StartPoint {
  readonly step: number
  readonly directory: string | null
}

/** How far a run is. */
export interface Reached {
  /** The next step to run. */
  readonly step: number
  /** The step of the newest checkpoint; -1 without one. */
  readonly savedStep: number
}

/** A job that can be restarted after a failure. */
export interface Job<T> {
  /** One life: from a checkpoint, or (null) as it was begun. */
  live(from: StartPoint | null | undefined): Promise<T>
  place(): Reached
  /** A life ended badly; told before it is decided whether another follows. */
  died(card: FailureCard): Promise<void>
  /** The reason of a stop that was requested; null without one. */
  stopWanted(): string | null
  /** Waits before the next start; returns early when a stop is requested. */
  rest(seconds: number): Promise<void>
  /** Puts all that is recorded back to the newest whole checkpoint; null: to the beginning. */
  rewind(): Promise<StartPoint | null>
  tell(event: Untimed): void
}

/**
 * Runs a job to completion and restarts it after recoverable failures, from the newest whole checkpoint, as often as the
 * policy allows without a new one; torchrun itself never restarts. A stop that is requested while it waits for a restart
 * ends it at that checkpoint. A job that dies on the way to a requested stop has failed, unless it had saved.
 * @throws StoppedError, or what ended the last attempt
 */
export async function runJob<T>(job: Job<T>, policy: RestartPolicy): Promise<T> {
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
      const wanted = job.stopWanted()
      if (wanted !== null) throw isSaved(place) ? new StoppedError(wanted) : error
      if (place.savedStep > savedStep) restarts = 0
      const seconds = restartAfter(error, place.step, before, restarts, policy)
      if (seconds === null) throw error
      await job.rest(seconds)
      restarts++
      before = { step: place.step, message: card.message }
      from = await job.rewind()
      const stopped = job.stopWanted()
      if (stopped !== null) throw new StoppedError(stopped)
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

/** Waits this long, or until the promise resolves. */
export async function waitUnless(promise: Promise<void>, seconds: number): Promise<void> {
  const waiting = new AbortController()
  const pause = setTimeout(seconds * 1000, undefined, { signal: waiting.signal }).catch(() => {})
  await Promise.race([pause, promise])
  waiting.abort()
}

/** @throws RuntimeCrashError when a run that was stopped has not saved the step that it reached */
export function refuseUnsaved(run: string, reached: Reached, reason: string, cause?: unknown): void {
  if (isSaved(reached)) return
  const { step, savedStep } = reached
  const saved = savedStep > 0 ? `the newest checkpoint is of step ${savedStep}` : 'there is no checkpoint'
  throw new RuntimeCrashError(`the run ended at step ${step} without saving it (${reason}); ${saved}`, {
    hint: `run \`freetumor train --resume ${run}\`: it repeats the steps after the newest checkpoint`,
    cause,
  })
}

/** What ended a run: a stop where one was requested and every step is saved, else the error itself. */
export function stopOrFailure(run: string, reached: Reached, error: unknown, stops: AbortSignal): unknown {
  if (!(error instanceof StoppedError) && !(stops.aborted && isAbort(error))) return error
  const reason = stops.aborted ? abortReason(stops) : error.message
  try {
    refuseUnsaved(run, reached, reason, error)
    return new StoppedError(reason, { cause: error })
  } catch (failure) {
    return failure
  }
}

/** Nothing is lost before the first step. */
function isSaved({ step, savedStep }: Reached): boolean {
  return step === Math.max(0, savedStep)
}

/** The failure of a runtime whose events ended without `finished`. */
export function endedSilently(run: string): RuntimeCrashError {
  return new RuntimeCrashError('the runtime ended without saying how', { hint: `see ${run}/logs` })
}
