import { FreetumorError } from '../errors.js'

/** Why a job's processes failed; `failure.json` of a run. */
export interface FailureCard {
  /**
   * `exception`: a rank raised it. `signal`: a signal killed a process. `outOfMemory`: of the machine or of a GPU. `hang`: no
   * event for too long. `lostConnection`: ranks lost their connection, and none recorded a reason.
   */
  readonly kind: 'exception' | 'signal' | 'outOfMemory' | 'hang' | 'lostConnection'
  /** First rank that failed by itself; null if no rank did. */
  readonly rank: number | null
  readonly message: string
  readonly hint: string
  readonly signal: string | null
  /** Exit code of the launcher; it is 1 for every failure. */
  readonly exitCode: number | null
  /** Traceback of that rank. */
  readonly traceback: string
  /** Last lines of the rank's log, else of the launcher's. */
  readonly lastLines: readonly string[]
  /** Folder of all logs. */
  readonly logs: string
  /** ISO 8601. */
  readonly time: string
}

/** Return the card of an error; null if it has none. */
export function cardOf(error: unknown): FailureCard | null {
  if (!(error instanceof FreetumorError)) return null
  return (error.facts.card as FailureCard | undefined) ?? null
}

export interface RestartPolicy {
  /** Largest number of consecutive restarts without a new checkpoint. */
  readonly max: number
  /** Seconds before the first of these restarts; doubled for each following one, at most 60. */
  readonly backoffSeconds: number
}

export interface PastFailure {
  /** Step that the job had reached. */
  readonly step: number
  readonly message: string
}

/**
 * Return the seconds to wait before a restart, or null for none: the budget is spent, or the failure would repeat (an
 * exception or a lack of memory twice at the same step).
 * @param restarts made since the last new checkpoint
 */
export function restartAfter(
  error: unknown,
  step: number,
  before: PastFailure | null,
  restarts: number,
  policy: RestartPolicy,
): number | null {
  const card = cardOf(error)
  if (card === null || restarts >= policy.max) return null
  const again = before !== null && before.step === step && before.message === card.message
  if (again && (card.kind === 'exception' || card.kind === 'outOfMemory')) return null
  return Math.min(60, policy.backoffSeconds * 2 ** restarts)
}
