/** Wilcoxon's signed-rank test of paired differences, two-sided. */
export interface SignedRank {
  /** The smaller of the two rank sums. */
  readonly statistic: number
  readonly p: number
  /** Differences other than 0; zeros are omitted (Wilcoxon's rule). */
  readonly n: number
  /**
   * Exact: over all 2^n signs of the ranks, with mean ranks for ties. Otherwise the normal distribution,
   * corrected for ties.
   */
  readonly exact: boolean
}

/** Above this number of differences, the normal distribution is as good. */
const MAX_EXACT = 50

/** Test paired differences; null without a difference. Ties have mean ranks, also in the exact test. */
export function signedRank(differences: readonly number[]): SignedRank | null {
  const some = differences.filter((value) => value !== 0)
  if (some.length === 0) return null
  const { ranks, tieTerm } = midranks(some.map(Math.abs))
  const total = ranks.reduce((sum, rank) => sum + rank, 0)
  const positive = ranks.reduce((sum, rank, at) => sum + (some[at]! > 0 ? rank : 0), 0)
  const statistic = Math.min(positive, total - positive)
  const n = some.length
  if (n <= MAX_EXACT) return { statistic, p: exactP(ranks, statistic), n, exact: true }
  const variance = (n * (n + 1) * (2 * n + 1)) / 24 - tieTerm / 48
  const z = (statistic - total / 2) / Math.sqrt(variance)
  return { statistic, p: Math.min(1, 2 * normalTail(-z)), n, exact: false }
}

function midranks(sizes: readonly number[]): { ranks: number[]; tieTerm: number } {
  const order = sizes.map((_, at) => at).sort((a, b) => sizes[a]! - sizes[b]!)
  const ranks = new Array<number>(sizes.length)
  let tieTerm = 0
  for (let from = 0; from < order.length; ) {
    let to = from
    while (to < order.length && sizes[order[to]!] === sizes[order[from]!]) to++
    for (let at = from; at < to; at++) ranks[order[at]!] = (from + 1 + to) / 2
    const tied = to - from
    tieTerm += tied ** 3 - tied
    from = to
  }
  return { ranks, tieTerm }
}

/** Return twice the fraction of sign patterns whose positive rank sum is at most the statistic. */
function exactP(ranks: readonly number[], statistic: number): number {
  // mean ranks are multiples of one half, so doubled ranks are integers
  const doubled = ranks.map((rank) => Math.round(2 * rank))
  const total = doubled.reduce((sum, rank) => sum + rank, 0)
  const share = new Float64Array(total + 1)
  share[0] = 1
  let reached = 0
  for (const rank of doubled) {
    reached += rank
    for (let sum = reached; sum >= 0; sum--)
      share[sum] = (share[sum]! + (sum >= rank ? share[sum - rank]! : 0)) / 2
  }
  let tail = 0
  for (let sum = 0; sum <= Math.round(2 * statistic); sum++) tail += share[sum]!
  return Math.min(1, 2 * tail)
}

/**
 * Return P(Z > z) for z >= 0: a series near the middle, a continued fraction in the tail; error below 1e-13.
 */
function normalTail(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
  if (z > 3) {
    let fraction = 0
    for (let n = 200; n >= 1; n--) fraction = n / (z + fraction)
    return density / (z + fraction)
  }
  let [term, sum] = [z, z]
  for (let n = 1; n < 100; n++) {
    term *= (z * z) / (2 * n + 1)
    sum += term
  }
  return 0.5 - density * sum
}
