import { setTimeout } from 'node:timers/promises'
import { cardOf, type FailureCard, RuntimeCrashError, StoppedError } from '../../errors.js'
import { quoted } from '../../plain-text.js'
import { abortReason, isAbort } from '../../stop-signals.js'
import { type PastFailure, type RestartPolicy, restartAfter } from '../../training/failure.js'
import type { Untimed } from '../../training/journal.js'

/** Start of an attempt: a checkpoint, or on a node other than node 0 only its step. */
export interface StartPoint {
  readonly step: number
  readonly directory: string | null
}

/** Progress of a run. */
export interface Reached {
  /** The next step to run. */
  readonly step: number
  /** The step of the newest checkpoint; -1 without one. */
  readonly savedStep: number
}

/** A job that can be restarted after a failure. */
export interface Job<T> {
  /** Run once: from a checkpoint, from step 0 (null), or as the run was started (undefined). */
  attempt(from: StartPoint | null | undefined): Promise<T>
  reached(): Reached
  /** Record why an attempt failed, before the restart policy decides. */
  failed(card: FailureCard): Promise<void>
  /** The reason of a stop that was requested; null without one. */
  stopWanted(): string | null
  /** Wait before the next attempt; return early when a stop is requested. */
  wait(seconds: number): Promise<void>
  /** Return the newest whole checkpoint, null for none, after the records are cut to it. */
  rewind(): Promise<StartPoint | null>
  record(event: Untimed): void
}

/**
 * Run a job to completion and restart it after recoverable failures from the newest whole checkpoint. The policy limits
 * the restarts without a new checkpoint; torchrun itself never restarts. A stop that is requested during a backoff ends
 * the job at that checkpoint. If a job fails while it stops, the result is a failure unless every step was saved.
 * @throws StoppedError, or the error that ended the last attempt
 */
export async function runJob<T>(job: Job<T>, policy: RestartPolicy): Promise<T> {
  let from: StartPoint | null | undefined
  let restarts = 0
  let before: PastFailure | null = null
  for (;;) {
    const { savedStep } = job.reached()
    try {
      return await job.attempt(from)
    } catch (error) {
      const card = cardOf(error)
      if (card === null) throw error
      await job.failed(card)
      const reached = job.reached()
      const wanted = job.stopWanted()
      if (wanted !== null) throw isSaved(reached) ? stopped(wanted) : error
      if (reached.savedStep > savedStep) restarts = 0
      const seconds = restartAfter(error, reached.step, before, restarts, policy)
      if (seconds === null) throw error
      await job.wait(seconds)
      restarts++
      before = { step: reached.step, message: card.message }
      from = await job.rewind()
      const wantedNow = job.stopWanted()
      if (wantedNow !== null) throw stopped(wantedNow)
      job.record({
        type: 'restart',
        step: from?.step ?? 0,
        diedAt: reached.step,
        restart: restarts,
        kind: card.kind,
        reason: card.message,
      })
    }
  }
}

function stopped(reason: string, cause?: unknown): StoppedError {
  return new StoppedError(reason, { hint: 'resume the run with `freetumor train --resume RUN`', cause })
}

/** Wait this long, or until the promise resolves. */
export async function waitUnless(promise: Promise<void>, seconds: number): Promise<void> {
  const waiting = new AbortController()
  const pause = setTimeout(seconds * 1000, undefined, { signal: waiting.signal }).catch(() => {})
  await Promise.race([pause, promise])
  waiting.abort()
}

/**
 * Refuse a stopped run that did not save the step that it reached.
 * @throws RuntimeCrashError
 */
export function refuseUnsaved(run: string, reached: Reached, reason: string, cause?: unknown): void {
  if (isSaved(reached)) return
  const { step, savedStep } = reached
  const saved = savedStep > 0 ? `the newest checkpoint is of step ${savedStep}` : 'there is no checkpoint'
  throw new RuntimeCrashError(`the run ended at step ${step} without saving it (${reason}); ${saved}`, {
    hint: `run \`freetumor train --resume ${quoted(run)}\`: it repeats the steps after the newest checkpoint`,
    cause,
  })
}

/** Return the reason of a run's end: a stop if one was requested and every step is saved, else the error. */
export function stopOrFailure(run: string, reached: Reached, error: unknown, stops: AbortSignal): unknown {
  if (!(error instanceof StoppedError) && !(stops.aborted && isAbort(error))) return error
  const reason = stops.aborted ? abortReason(stops) : error.message
  try {
    refuseUnsaved(run, reached, reason, error)
    return stopped(reason, error)
  } catch (failure) {
    return failure
  }
}

/** Return whether every finished step is saved; before the first step, nothing is lost. */
function isSaved({ step, savedStep }: Reached): boolean {
  return step === Math.max(0, savedStep)
}

/** Return the error of a runtime whose events ended without `finished`. */
export function endedSilently(run: string): RuntimeCrashError {
  return new RuntimeCrashError('the runtime ended without a reason', { hint: `inspect ${run}/logs` })
}
