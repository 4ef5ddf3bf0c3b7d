import { openStream } from 'freetumor'

/** A mean with its interval. */
export interface Estimate {
  readonly mean: number
  readonly ci: readonly [low: number, high: number]
  /** Values that were there. */
  readonly n: number
}

const RESAMPLES = 2000
const TAIL = 0.025

/**
 * The mean of a table of seeds by cases with its 95 % interval, for paired differences and for figures alike: seeds and cases are
 * drawn with replacement, each for itself, since the cases are the same for every seed (a bootstrap of two crossed factors).
 * @param bySeed a row for each seed (null where a case has no such value), in the same order of cases
 * @returns null when the table holds no value
 */
export function crossedBootstrap(
  bySeed: readonly (readonly (number | null)[])[],
  seed: number,
): Estimate | null {
  const n = bySeed.flat().filter((value) => value !== null).length
  if (n === 0) return null
  const seeds = bySeed.map((_, at) => at)
  const cases = bySeed[0]!.map((_, at) => at)
  const means = resamples(seed, seeds.length, cases.length).flatMap(([drawnSeeds, drawnCases]) => {
    const mean = meanOver(bySeed, drawnSeeds, drawnCases)
    return mean === null ? [] : [mean]
  })
  means.sort((a, b) => a - b)
  return {
    mean: meanOver(bySeed, seeds, cases)!,
    ci: [percentile(means, TAIL), percentile(means, 1 - TAIL)],
    n,
  }
}

/** Return the mean of values with its 95 % t interval; they must be independent, such as the means of seeds. */
export function tInterval(values: readonly number[]): Estimate {
  const [n, centre] = [values.length, mean(values)]
  if (n < 2) return { mean: centre, ci: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY], n }
  const half = tQuantile(1 - TAIL, n - 1) * Math.sqrt(variance(values) / n)
  return { mean: centre, ci: [centre - half, centre + half], n }
}

/** Return the quantile of Student's t distribution, for a probability above 0.5. */
export function tQuantile(probability: number, freedom: number): number {
  let [low, high] = [0, 1e4]
  for (let halving = 0; halving < 200; halving++) {
    const middle = (low + high) / 2
    if (tDistribution(middle, freedom) < probability) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** Return the distribution function of Student's t for whole degrees of freedom, by its finite sum (t at least 0). */
function tDistribution(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom))
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const odd = freedom % 2 === 1
  let term = odd ? cosine : 1
  let sum = odd && freedom === 1 ? 0 : term
  for (let k = odd ? 3 : 2; k <= freedom - 2; k += 2) {
    term *= (cosine ** 2 * (k - 1)) / k
    sum += term
  }
  const inside = odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum
  return (1 + inside) / 2
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Return the unbiased variance. */
export function variance(values: readonly number[]): number {
  const centre = mean(values)
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1)
}

type Resample = readonly [seeds: readonly number[], cases: readonly number[]]

const known = new Map<string, readonly Resample[]>()

/** The same seeds and cases for every figure of a table of that size: figures differ by what they measure, not by what was drawn. */
function resamples(seed: number, numSeeds: number, numCases: number): readonly Resample[] {
  const key = `${seed}/${numSeeds}/${numCases}`
  const made = known.get(key)
  if (made) return made
  const stream = openStream([seed, 'few-labels', numSeeds, numCases])
  const drawn = (count: number): number[] => Array.from({ length: count }, () => stream.integer(0, count - 1))
  const all = Array.from({ length: RESAMPLES }, (): Resample => [drawn(numSeeds), drawn(numCases)])
  known.set(key, all)
  return all
}

/** Subtract one table from another, place by place; null where either has none. */
export function differences(
  first: readonly (readonly (number | null)[])[],
  second: readonly (readonly (number | null)[])[],
): (number | null)[][] {
  return first.map((row, seed) =>
    row.map((value, at) => {
      const other = second[seed]?.[at] ?? null
      return value === null || other === null ? null : value - other
    }),
  )
}

/** Return the mean of several tables, place by place, for instance those of different numbers of labelled cases. */
export function meanTable(tables: readonly (readonly (readonly (number | null)[])[])[]): (number | null)[][] {
  return tables[0]!.map((row, seed) =>
    row.map((_, at) => {
      const values = tables.map((table) => table[seed]?.[at] ?? null)
      if (values.some((value) => value === null)) return null
      return values.reduce<number>((sum, value) => sum + value!, 0) / values.length
    }),
  )
}

function meanOver(
  table: readonly (readonly (number | null)[])[],
  seeds: readonly number[],
  cases: readonly number[],
): number | null {
  let [sum, count] = [0, 0]
  for (const seed of seeds)
    for (const at of cases) {
      const value = table[seed]![at] ?? null
      if (value === null) continue
      sum += value
      count++
    }
  return count === 0 ? null : sum / count
}

function percentile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!]
  return low + (high - low) * (place - Math.floor(place))
}
