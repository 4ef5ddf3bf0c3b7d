import { FreetumorError } from '../errors.js'

/** Why a job's processes failed; `failure.json` of a run. */
export interface FailureCard {
  /**
   * `exception`: a rank raised it. `signal`: something killed it. `outOfMemory`: of the machine or of a GPU. `hang`: no sign
   * for too long. `lostConnection`: ranks lost each other and none says why.
   */
  readonly kind: 'exception' | 'signal' | 'outOfMemory' | 'hang' | 'lostConnection'
  /** The first that failed by itself; null where it was not one of them. */
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

/** The card of an error, if it has one. */
export function cardOf(error: unknown): FailureCard | null {
  if (!(error instanceof FreetumorError)) return null
  return (error.facts.card as FailureCard | undefined) ?? null
}

export interface RestartPolicy {
  /** Restarts in a row without a new checkpoint. */
  readonly max: number
  /** Before the first of them; doubled for each that follows, at most a minute. */
  readonly backoffSeconds: number
}

export interface PastFailure {
  /** The step that was to run. */
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
