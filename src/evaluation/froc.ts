import { intervalOf, resample, type Weights } from './bootstrap.js'
import type { CaseMeasures } from './measures.js'
import { scoredBy, scoreOf } from './patients.js'
import type { Figure, Froc, OperatingPoint } from './summary.js'

/** False positives per case at which FROC curves are usually read. */
export const FROC_RATES: readonly number[] = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
const MAX_POINTS = 200

/** A predicted lesion; lists are in falling order of score. */
interface Call {
  readonly patientAt: number
  readonly score: number
  readonly falsePositive: boolean
  /** True lesions that it touches and that no call with a higher score has touched. */
  readonly newlyDetected: number
}

interface Calls {
  readonly calls: readonly Call[]
  /** Per patient. */
  readonly numTrue: Float64Array
  readonly numCases: Float64Array
}

/** Return lesion sensitivity against false positives per case, by any overlap; null without a true lesion. */
export function frocOf(cases: readonly CaseMeasures[], seed: number): Froc | null {
  const calls = callsOf(cases)
  const all = new Uint32Array(calls.numTrue.length).fill(1)
  const points = curve(calls, all)
  if (points === null) return null
  const key = { seed, name: 'froc' }
  const samples: number[][] = []
  resample(
    all.length,
    (weights) => {
      const sample = curve(calls, weights)
      if (sample !== null) samples.push(atRates(sample))
      return null
    },
    key,
  )
  const figure = (pick: (at: readonly number[]) => number): Figure => {
    const mean = pick(atRates(points))
    const values = samples.map(pick).sort((a, b) => a - b)
    return { mean, ci: intervalOf(values, mean, all.length), n: cases.length }
  }
  return {
    points: thinned(points),
    at: FROC_RATES.map((falsePositivesPerCase, n) => ({
      falsePositivesPerCase,
      sensitivity: figure((at) => at[n]!),
    })),
    mean: figure((at) => at.reduce((sum, value) => sum + value, 0) / at.length),
  }
}

function callsOf(cases: readonly CaseMeasures[]): Calls {
  const by = scoredBy(cases)
  const places = new Map(
    [...new Set(cases.map(({ patient }) => patient))].map((patient, at) => [patient, at]),
  )
  const [numTrue, numCases] = [new Float64Array(places.size), new Float64Array(places.size)]
  const calls = cases.flatMap(({ patient, lesions, lesionOverlaps }) => {
    const patientAt = places.get(patient)!
    numCases[patientAt]!++
    numTrue[patientAt]! += lesions.filter(({ kind }) => kind === 'true').length
    const touched = new Set<number>()
    const trueOf = new Map<number, number[]>()
    for (const [trueAt, predictedAt] of lesionOverlaps)
      trueOf.set(predictedAt, [...(trueOf.get(predictedAt) ?? []), trueAt])
    const scored = lesions
      .filter(({ kind }) => kind === 'predicted')
      .map((lesion, at) => ({ score: scoreOf(lesion, by), met: trueOf.get(at) ?? [] }))
      .sort((a, b) => b.score - a.score)
    return scored.map(({ score, met }): Call => {
      const fresh = met.filter((trueAt) => !touched.has(trueAt))
      for (const trueAt of fresh) touched.add(trueAt)
      return { patientAt, score, falsePositive: met.length === 0, newlyDetected: fresh.length }
    })
  })
  return { calls: calls.sort((a, b) => b.score - a.score), numTrue, numCases }
}

/** Return one point per distinct score; null if the weighted patients have no true lesion. */
function curve({ calls, numTrue, numCases }: Calls, weights: Weights): OperatingPoint[] | null {
  const total = weighted(numTrue, weights)
  const totalCases = weighted(numCases, weights)
  if (total === 0) return null
  const points: OperatingPoint[] = []
  let [detected, wrong] = [0, 0]
  for (const [n, { patientAt, score, falsePositive, newlyDetected }] of calls.entries()) {
    detected += weights[patientAt]! * newlyDetected
    if (falsePositive) wrong += weights[patientAt]!
    // lesions of equal score count together
    if (calls[n + 1]?.score === score) continue
    points.push({
      threshold: score,
      falsePositivesPerCase: wrong / totalCases,
      sensitivity: detected / total,
    })
  }
  return points
}

function weighted(values: Float64Array, weights: Weights): number {
  return values.reduce((sum, value, at) => sum + value * weights[at]!, 0)
}

function atRates(points: readonly OperatingPoint[]): number[] {
  return FROC_RATES.map((rate) => {
    // both coordinates rise along the curve
    const last = points.findLast(({ falsePositivesPerCase }) => falsePositivesPerCase <= rate)
    return last?.sensitivity ?? 0
  })
}

/** Return evenly spaced points, with the first and the last. */
function thinned(points: readonly OperatingPoint[]): OperatingPoint[] {
  if (points.length <= MAX_POINTS) return [...points]
  return Array.from(
    { length: MAX_POINTS },
    (_, n) => points[Math.round((n * (points.length - 1)) / (MAX_POINTS - 1))]!,
  )
}
