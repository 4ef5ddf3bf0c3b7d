import { missedSizes } from '../../dist/evaluation/missed-sizes.js'
import { LABEL_SCHEMES } from '../../dist/volume/labels.js'
import { figuresAt, type ScoredCase } from './policy-figures.js'

const SPACING_MM = 1.5
/** Starts of the ranges of diameters; the last one has no end. */
export const DIAMETERS_MM = [0, 5, 10, 20, 50] as const
const FROC_RATES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8] as const

/** Figures of cases at an operating point. */
export interface EarlyFigures {
  /** Predicted lesions below this score are dropped. */
  readonly threshold: number
  /** True and detected lesions by diameter, in the order of `DIAMETERS_MM`. */
  readonly bins: readonly { readonly lesions: number; readonly detected: number }[]
  /** Mean over cases with tumors, of all tumor voxels. */
  readonly dice: number
  readonly patientSensitivity: number
  readonly patientSpecificity: number
  /** Mean over healthy cases. */
  readonly falsePositives: number
}

/** Figures of all operating points. */
export interface EarlyCurves {
  /** Area under the ROC curve of sick against healthy patients, by their highest score. */
  readonly auc: number
  /** Lesion sensitivity at false positives per case, all cases together. */
  readonly froc: readonly { readonly rate: number; readonly sensitivity: number }[]
}

/** Return the diameter of a ball of a number of voxels. */
export function diameterMm(voxels: number): number {
  return Math.cbrt((6 * voxels * SPACING_MM ** 3) / Math.PI)
}

/** Count the lesions of some cases that a segmentor finds and misses at an operating point, by diameter. */
export function sizesMissed(threshold: number, cases: readonly ScoredCase[]) {
  const measured = cases.map((one) => {
    const found = foundIn(threshold, one)
    const lesions = one.truth.map((voxels, at) => ({
      kind: 'true' as const,
      label: 2,
      diameterMm: diameterMm(voxels),
      matched: found.has(at),
      // not used
      ...{ voxels, volumeMl: 1, centreMm: [0, 0, 0] as const, score: null },
    }))
    return { lesions }
  })
  return missedSizes(measured, LABEL_SCHEMES.abdomen.organs)
}

export function earlyFigures(threshold: number, cases: readonly ScoredCase[]): EarlyFigures {
  const [sick, healthy] = bySickness(cases)
  const lesions = sick.flatMap((one) => {
    const found = foundIn(threshold, one)
    return one.truth.map((voxels, at) => ({ mm: diameterMm(voxels), detected: found.has(at) }))
  })
  const called = (one: ScoredCase): boolean => keptOf(threshold, one).length > 0
  return {
    threshold,
    bins: DIAMETERS_MM.map((from, at) => {
      const inside = lesions.filter(({ mm }) => mm >= from && mm < (DIAMETERS_MM[at + 1] ?? Infinity))
      return { lesions: inside.length, detected: inside.filter(({ detected }) => detected).length }
    }),
    dice: figuresAt(threshold, cases).dice,
    patientSensitivity: sick.filter(called).length / sick.length,
    patientSpecificity: healthy.filter((one) => !called(one)).length / healthy.length,
    falsePositives: healthy.reduce((sum, one) => sum + keptOf(threshold, one).length, 0) / healthy.length,
  }
}

export function earlyCurves(cases: readonly ScoredCase[]): EarlyCurves {
  const [sick, healthy] = bySickness(cases)
  const highest = ({ predicted }: ScoredCase) => Math.max(0, ...predicted.map(({ score }) => score))
  const right = sick.flatMap((one) =>
    healthy.map((other) => {
      const [a, b] = [highest(one), highest(other)]
      return a > b ? 1 : a === b ? 0.5 : 0
    }),
  )
  const wrong = cases
    .flatMap(({ predicted }) => predicted.filter(({ shared }) => shared.length === 0))
    .map(({ score }) => score)
    .sort((a, b) => b - a)
  const lesions = sick.reduce((sum, { truth }) => sum + truth.length, 0)
  return {
    auc: right.reduce<number>((sum, one) => sum + one, 0) / right.length,
    froc: FROC_RATES.map((rate) => {
      const firstTooMany = wrong[Math.floor(rate * cases.length)] ?? -1
      const above = (one: ScoredCase) => one.predicted.filter(({ score }) => score > firstTooMany)
      const detected = sick.reduce((sum, one) => sum + touchedBy(above(one)).size, 0)
      return { rate, sensitivity: detected / lesions }
    }),
  }
}

function bySickness(cases: readonly ScoredCase[]): readonly [sick: ScoredCase[], healthy: ScoredCase[]] {
  return [cases.filter(({ truth }) => truth.length > 0), cases.filter(({ truth }) => truth.length === 0)]
}

function keptOf(threshold: number, { predicted }: ScoredCase) {
  return predicted.filter(({ score }) => score >= threshold)
}

function foundIn(threshold: number, one: ScoredCase): ReadonlySet<number> {
  return touchedBy(keptOf(threshold, one))
}

/** Return the places of the true lesions that predicted ones touch. */
function touchedBy(predicted: ScoredCase['predicted']): ReadonlySet<number> {
  return new Set(predicted.flatMap(({ shared }) => shared.map(([lesion]) => lesion)))
}
