import type { Figure } from './summary.js'

export const RESAMPLES = 2000
/** Confidence level of the intervals; the percentiles are symmetric. */
export const LEVEL = 0.95

/**
 * Below this number of patients, there is no interval and no p value. Resamples of so few patients vary too little: a
 * 95 % interval contains the true mean much less often. The smallest two-sided p of five signed ranks is 1/16.
 */
export const MIN_PATIENTS = 6

/** Why a figure has neither. */
export const TOO_FEW_PATIENTS = `figures of fewer than ${MIN_PATIENTS} patients have no interval and no p value, because resamples of so few patients vary too little`

/** Key of the random numbers of one figure. Another figure in the summary shifts none of them. */
export interface ResamplingKey {
  readonly seed: number
  readonly name: string
}

/** Contribution of one case to the sums of a figure. */
export interface Row {
  readonly patient: string
  readonly values: readonly number[]
}

/** Number of times that each patient is in a resample. */
export type Weights = Uint32Array

/**
 * Estimate a figure over cases with its percentile-bootstrap interval. Whole patients are drawn with
 * replacement, because the scans of one patient depend on each other.
 * @param rows one case each, with equal numbers of values
 * @param statistic of the sums; null if undefined (such resamples are omitted)
 */
export function estimate(
  rows: readonly Row[],
  statistic: (sums: readonly number[]) => number | null,
  key: ResamplingKey,
): Figure | null {
  if (rows.length === 0) return null
  const columns = columnsByPatient(rows)
  const mean = statistic(columns.map((column) => column.reduce((sum, value) => sum + value, 0)))
  if (mean === null) return null
  const values = resample(columns[0]!.length, (weights) => statistic(weightedSums(columns, weights)), key)
  return { mean, ci: intervalOf(values, mean, columns[0]!.length), n: rows.length }
}

/** Estimate the mean over cases with its interval. */
export function estimateMean(
  values: readonly { readonly patient: string; readonly value: number }[],
  key: ResamplingKey,
): Figure | null {
  return estimate(
    values.map(({ patient, value }) => ({ patient, values: [value, 1] })),
    ([sum, n]) => sum! / n!,
    key,
  )
}

/** Return the statistic of resampled patients, sorted; resamples with null are omitted. */
export function resample(
  numPatients: number,
  statistic: (weights: Weights) => number | null,
  key: ResamplingKey,
): number[] {
  const next = words(key)
  const weights = new Uint32Array(numPatients)
  const values: number[] = []
  for (let sample = 0; sample < RESAMPLES; sample++) {
    weights.fill(0)
    for (let n = 0; n < numPatients; n++) weights[Math.floor((next() / 2 ** 32) * numPatients)]!++
    const value = statistic(weights)
    if (value !== null) values.push(value)
  }
  return values.sort((a, b) => a - b)
}

/**
 * Return the interval of sorted values; null below `MIN_PATIENTS` patients.
 * @param figure of all patients; the interval is this point if there are no values
 */
export function intervalOf(
  sorted: readonly number[],
  figure: number,
  numPatients: number,
): [low: number, high: number] | null {
  if (numPatients < MIN_PATIENTS) return null
  if (sorted.length === 0) return [figure, figure]
  const tail = (1 - LEVEL) / 2
  return [percentile(sorted, tail), percentile(sorted, 1 - tail)]
}

/** Sum the cases of each patient, column by column; patients in order of first occurrence. */
function columnsByPatient(rows: readonly Row[]): Float64Array[] {
  const places = new Map<string, number>()
  for (const { patient } of rows) if (!places.has(patient)) places.set(patient, places.size)
  const columns = rows[0]!.values.map(() => new Float64Array(places.size))
  for (const { patient, values } of rows)
    for (const [at, value] of values.entries()) columns[at]![places.get(patient)!]! += value
  return columns
}

function weightedSums(columns: readonly Float64Array[], weights: Weights): number[] {
  return columns.map((column) => {
    let sum = 0
    for (let at = 0; at < column.length; at++) sum += weights[at]! * column[at]!
    return sum
  })
}

/** Return a percentile with linear interpolation. */
function percentile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!]
  return low + (high - low) * (place - Math.floor(place))
}

/**
 * Return a generator of random 32-bit words: a counter with steps of the golden ratio of 2^32, mixed by the
 * finaliser of MurmurHash3 (public domain). Use it for resampling only, not for secrets.
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
