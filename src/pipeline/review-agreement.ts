import { type Agreement, cohensKappa, fleissKappa } from '../evaluation/agreement.js'
import { decisionsOf, type ReviewLine } from '../quality/reviews.js'

/** Agreement between the reviewers of synthetic tumors, by their standing decisions. */
export interface ReviewAgreement {
  /** Cohen's kappa of each pair of reviewers; none of more than 20 reviewers. */
  readonly pairs: readonly ReviewerPair[]
  /** Fleiss' kappa of all reviewers. */
  readonly overall: Agreement
}

export interface ReviewerPair extends Agreement {
  readonly reviewers: readonly [string, string]
}

/** The pairs grow with the square of the reviewers. */
const MAX_PAIRED = 20

/** Return the agreement between reviewers. Tumors of one scan depend on each other, so the intervals resample scans. */
export function reviewAgreement(lines: readonly ReviewLine[]): ReviewAgreement {
  const tumors = decisionsOf(lines)
  const reviewers = [
    ...new Set(tumors.flatMap(({ standing }) => standing.map(({ reviewer }) => reviewer))),
  ].sort()
  const paired = reviewers.length > MAX_PAIRED ? [] : reviewers
  const clusters = tumors.map((tumor) => tumor.case)
  const ratings = new Map(paired.map((name) => [name, tumors.map((): string | null => null)]))
  for (const [at, { standing }] of tumors.entries())
    for (const { reviewer, decision } of standing) {
      const own = ratings.get(reviewer)
      if (own !== undefined) own[at] = decision
    }
  const counts = tumors.map(({ standing }) => {
    const accepted = standing.filter(({ decision }) => decision === 'accept').length
    return [accepted, standing.length - accepted]
  })
  return {
    pairs: paired.flatMap((first, at) =>
      paired.slice(at + 1).map((second) => ({
        reviewers: [first, second] as const,
        ...cohensKappa(ratings.get(first)!, ratings.get(second)!, { clusters }),
      })),
    ),
    overall: fleissKappa(counts, { clusters }),
  }
}
