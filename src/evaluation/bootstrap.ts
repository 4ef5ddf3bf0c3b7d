import type { Figure } from './summary.js'

export const RESAMPLES = 2000
/** Of the interval; the percentiles are symmetric about its middle. */
export const LEVEL = 0.95

/** What the random numbers of one figure are keyed by: another figure in the summary shifts none of them. */
export interface ResamplingKey {
  readonly seed: number
  readonly name: string
}

/**
 * A figure over cases with its percentile-bootstrap interval: whole cases are drawn with replacement, since what one case
 * holds hangs together.
 * @param rows one case each, same length: what it adds to the sums
 * @param statistic of the sums; null where they say nothing (such resamples are left out)
 */
export function estimate(
  rows: readonly (readonly number[])[],
  statistic: (sums: readonly number[]) => number | null,
  key: ResamplingKey,
): Figure | null {
  if (rows.length === 0) return null
  const columns = rows[0]!.map((_, at) => Float64Array.from(rows, (row) => row[at]!))
  const mean = statistic(columns.map((column) => column.reduce((sum, value) => sum + value, 0)))
  if (mean === null) return null
  const next = words(key)
  const values: number[] = []
  for (let resample = 0; resample < RESAMPLES; resample++) {
    const value = statistic(sumsOfResample(columns, rows.length, next))
    if (value !== null) values.push(value)
  }
  values.sort((a, b) => a - b)
  const tail = (1 - LEVEL) / 2
  return { mean, ci: [percentile(values, tail), percentile(values, 1 - tail)], n: rows.length }
}

/** `estimate` of the plain mean. */
export function estimateMean(values: readonly number[], key: ResamplingKey): Figure | null {
  return estimate(
    values.map((value) => [value, 1]),
    ([sum, n]) => sum! / n!,
    key,
  )
}

function sumsOfResample(columns: readonly Float64Array[], numRows: number, next: () => number): number[] {
  const sums = columns.map(() => 0)
  for (let n = 0; n < numRows; n++) {
    const drawn = Math.floor((next() / 2 ** 32) * numRows)
    for (let at = 0; at < sums.length; at++) sums[at]! += columns[at]![drawn]!
  }
  return sums
}

/** Between the two values around it, linearly. */
function percentile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!]
  return low + (high - low) * (place - Math.floor(place))
}

/**
 * Random 32-bit words: a counter that steps by the golden ratio of 2^32 and is mixed by the finaliser of MurmurHash3 (public
 * domain). Good for resampling, for nothing that must be unguessable.
 */
function words({ seed, name }: ResamplingKey): () => number {
  let counter = mix(seed >>> 0) ^ mix(Math.floor(seed / 2 ** 32) + 1)
  for (const character of name) counter = mix(counter ^ character.codePointAt(0)!)
  return () => {
    counter = (counter + 0x9e3779b9) | 0
    return mix(counter) >>> 0
  }
}

function mix(word: number): number {
  let mixed = word
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
