import { intervalOf, resample, type Weights } from './bootstrap.js'

/** Agreement between raters beyond chance. */
export interface Agreement {
  /** 1: full agreement; 0: as by chance; null if undefined (no item, or all ratings in one category). */
  readonly kappa: number | null
  /** 95 % percentile bootstrap over clusters; null below 6 clusters, or if `kappa` is null. */
  readonly ci: readonly [low: number, high: number] | null
  /** Fraction of agreeing pairs of ratings; null without an item. */
  readonly observed: number | null
  /** The same fraction if the raters rated independently of the items; null without an item. */
  readonly expected: number | null
  /** Number of items with at least two ratings. Other items take no part. */
  readonly n: number
}

export interface AgreementOptions {
  /**
   * Cluster of each item, such as its scan: the bootstrap draws whole clusters, because their items depend on each other.
   * Default: each item is its own cluster.
   */
  readonly clusters?: readonly string[] | undefined
  /** Seed of the bootstrap. Default: 0. */
  readonly seed?: number | undefined
}

/** Sums over the items of a cluster; agreement is computed from such sums. */
interface Sums {
  items: number
  /** Sum of the fractions of agreeing pairs. */
  agreeing: number
  /** Sums of the fractions of ratings in each category; the products of the two sides give chance agreement. */
  readonly shares: readonly [Float64Array, Float64Array]
}

/**
 * Return Cohen's kappa of two raters (Cohen 1960, unweighted), as `sklearn.metrics.cohen_kappa_score`.
 * @param a rating of each item by the first rater; null if missing
 * @param b ratings of the same items by the second rater
 */
export function cohensKappa(
  a: readonly (string | null)[],
  b: readonly (string | null)[],
  options: AgreementOptions = {},
): Agreement {
  if (a.length !== b.length)
    throw new RangeError(`ratings of two raters differ in number (${a.length} and ${b.length})`)
  const categories = [...new Set([...a, ...b])].filter((rating) => rating !== null)
  const places = new Map(categories.map((name, at) => [name, at]))
  const { sumsOf, clusters } = clusteredSums(categories.length, a.length, options)
  for (const [at, first] of a.entries()) {
    const second = b[at]!
    if (first === null || second === null) continue
    const sums = sumsOf(at)
    sums.items++
    sums.agreeing += Number(first === second)
    sums.shares[0][places.get(first)!]!++
    sums.shares[1][places.get(second)!]!++
  }
  return agreementOf(clusters(), categories.length, options)
}

/**
 * Return Fleiss' kappa of any number of raters (Fleiss 1971), as `statsmodels.stats.inter_rater.fleiss_kappa`. If items
 * have different numbers of ratings, each item counts alike: Gwet's generalisation (Handbook of Inter-Rater Reliability,
 * 2014), as `irrCAC`.
 * @param counts number of ratings of each item in each category
 */
export function fleissKappa(
  counts: readonly (readonly number[])[],
  options: AgreementOptions = {},
): Agreement {
  const categories = counts[0]?.length ?? 0
  const { sumsOf, clusters } = clusteredSums(categories, counts.length, options)
  for (const [at, row] of counts.entries()) {
    if (row.length !== categories || row.some((count) => !Number.isInteger(count) || count < 0))
      throw new RangeError(`item ${at}: expected ${categories} counts from 0, found ${row.join(', ')}`)
    const ratings = row.reduce((sum, count) => sum + count, 0)
    if (ratings < 2) continue
    const sums = sumsOf(at)
    sums.items++
    sums.agreeing += row.reduce((sum, count) => sum + count * (count - 1), 0) / (ratings * (ratings - 1))
    for (const [category, count] of row.entries())
      for (const shares of sums.shares) shares[category]! += count / ratings
  }
  return agreementOf(clusters(), categories, options)
}

function clusteredSums(
  categories: number,
  items: number,
  { clusters }: AgreementOptions,
): { readonly sumsOf: (item: number) => Sums; readonly clusters: () => readonly Sums[] } {
  if (clusters !== undefined && clusters.length !== items)
    throw new RangeError(`clusters: expected one of each item (${items}), found ${clusters.length}`)
  const byCluster = new Map<string | number, Sums>()
  return {
    sumsOf: (item) => {
      const name = clusters?.[item] ?? item
      const sums = byCluster.get(name) ?? emptySums(categories)
      byCluster.set(name, sums)
      return sums
    },
    clusters: () => [...byCluster.values()],
  }
}

function agreementOf(
  clusters: readonly Sums[],
  categories: number,
  { seed = 0 }: AgreementOptions,
): Agreement {
  const all = weighted(clusters, new Uint32Array(clusters.length).fill(1), categories)
  if (all.items === 0) return { kappa: null, ci: null, observed: null, expected: null, n: 0 }
  const kappa = kappaOf(all)
  const statistic = (weights: Weights): number | null => kappaOf(weighted(clusters, weights, categories))
  const ci =
    kappa === null
      ? null
      : intervalOf(resample(clusters.length, statistic, { seed, name: 'kappa' }), kappa, clusters.length)
  return { kappa, ci, observed: all.agreeing / all.items, expected: expectedOf(all), n: all.items }
}

function weighted(clusters: readonly Sums[], weights: Weights, categories: number): Sums {
  const total = emptySums(categories)
  for (let at = 0; at < clusters.length; at++) {
    const weight = weights[at]!
    if (weight === 0) continue
    const { items, agreeing, shares } = clusters[at]!
    total.items += weight * items
    total.agreeing += weight * agreeing
    for (const side of [0, 1] as const)
      for (let category = 0; category < categories; category++)
        total.shares[side][category]! += weight * shares[side][category]!
  }
  return total
}

function kappaOf(sums: Sums): number | null {
  const expected = expectedOf(sums)
  // all ratings in one category: 0 / 0; sums of fractions may be off by rounding
  if (1 - expected < 1e-12) return null
  return (sums.agreeing / sums.items - expected) / (1 - expected)
}

function expectedOf({ items, shares: [first, second] }: Sums): number {
  let sum = 0
  for (let category = 0; category < first.length; category++)
    sum += (first[category]! / items) * (second[category]! / items)
  return sum
}

function emptySums(categories: number): Sums {
  return { items: 0, agreeing: 0, shares: [new Float64Array(categories), new Float64Array(categories)] }
}
