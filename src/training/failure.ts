import { cardOf } from '../errors.js'

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
