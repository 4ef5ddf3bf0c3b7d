import { estimate, estimateMean, type ResamplingKey, type Row } from './bootstrap.js'
import { frocOf } from './froc.js'
import { type MatchedLesion, matchLesions } from './lesion-matching.js'
import { type CaseMeasures, falsePositives, hasTumor, type LesionMeasures } from './measures.js'
import { patientRates, patientsOf, scoredBy } from './patients.js'
import type { LesionBinning, Profile } from './profiles.js'
import type { Figure, LesionBin, LesionRates, LesionSummary, MatchRates } from './summary.js'
import { wilsonInterval } from './wilson.js'

/** The lesions of a case with their partners. */
export interface MatchedCase {
  readonly patient: string
  readonly lesions: readonly MatchedLesion[]
}

/** Compute the figures of lesions and patients over cases whose lesions were measured. */
export function summarizeLesions(
  cases: readonly CaseMeasures[],
  profile: Profile,
  seed: number,
): LesionSummary {
  const matched = cases.map((one) => ({
    patient: one.patient,
    lesions: matchLesions(one, profile.lesionIous),
  }))
  const healthy = cases.filter((one) => !hasTumor(one))
  return {
    all: ratesOf(matched, profile.lesionIous, { seed, name: 'lesions' }, () => true),
    bins: profile.lesionBinnings.flatMap((binning) => binsOf(matched, binning, profile.lesionIous, seed)),
    ...falsePositiveFigures(cases, { seed, name: '' }),
    healthy: {
      numCases: healthy.length,
      lesionFree: lesionFreeRate(healthy),
      ...falsePositiveFigures(healthy, { seed, name: 'healthy ' }),
    },
    ...patientRates(patientsOf(cases), seed),
    scoredBy: scoredBy(cases),
    froc: frocOf(cases, seed),
  }
}

/** Return the fraction of healthy cases without a predicted lesion; its interval counts cases, without resampling. */
function lesionFreeRate(healthy: readonly CaseMeasures[]): Figure | null {
  if (healthy.length === 0) return null
  const free = healthy.filter((one) => falsePositives(one).length === 0).length
  return { mean: free / healthy.length, ci: wilsonInterval(free, healthy.length), n: healthy.length }
}

/** Return the total volume of predicted lesions that touch no true tumor. */
export function falsePositiveVolumeMl(one: CaseMeasures): number {
  return falsePositives(one).reduce((sum, { volumeMl }) => sum + volumeMl, 0)
}

function falsePositiveFigures(
  cases: readonly CaseMeasures[],
  { seed, name }: ResamplingKey,
): Pick<LesionSummary, 'falsePositiveVolumeMl' | 'falsePositiveCount'> {
  const mean = (of: (one: CaseMeasures) => number, figure: string): Figure | null =>
    estimateMean(
      cases.map((one) => ({ patient: one.patient, value: of(one) })),
      { seed, name: `${name}${figure}` },
    )
  return {
    falsePositiveVolumeMl: mean(falsePositiveVolumeMl, 'falsePositiveVolumeMl'),
    falsePositiveCount: mean((one) => falsePositives(one).length, 'falsePositiveCount'),
  }
}

function binsOf(
  cases: readonly MatchedCase[],
  { by, edges }: LesionBinning,
  ious: readonly number[],
  seed: number,
): LesionBin[] {
  return [0, ...edges].map((from, n) => {
    const to = edges[n] ?? null
    const inside = (lesion: LesionMeasures): boolean => {
      const size = by === 'diameterMm' ? lesion.diameterMm : lesion.diameterMm / 2
      return size >= from && (to === null || size < to)
    }
    return { by, from, to, ...ratesOf(cases, ious, { seed, name: `${by} ${from}` }, inside) }
  })
}

function ratesOf(
  cases: readonly MatchedCase[],
  ious: readonly number[],
  key: ResamplingKey,
  wanted: (lesion: LesionMeasures) => boolean,
): LesionRates {
  const some = cases.map(({ patient, lesions }) => ({
    patient,
    lesions: lesions.filter(({ lesion }) => wanted(lesion)),
  }))
  const all = some.flatMap(({ lesions }) => lesions)
  const numTrue = all.filter(({ lesion }) => lesion.kind === 'true').length
  const rates = (matched: (one: MatchedLesion) => boolean, name: string): MatchRates =>
    matchRates(rowsOf(some, matched), { ...key, name: `${key.name}${name}` })
  return {
    numTrue,
    numPredicted: all.length - numTrue,
    ...rates(({ matched }) => matched, ''),
    lesionDice: diceOf(some, () => true, { ...key, name: `${key.name} lesionDice` }),
    detectedDice: diceOf(some, ({ matched }) => matched, { ...key, name: `${key.name} detectedDice` }),
    atIou: ious.map((iou, at) => ({ iou, ...rates((one) => one.matchedAtIou[at]!, ` iou ${iou}`) })),
  }
}

/** Estimate the mean Dice over the true lesions that count, of all cases together. */
function diceOf(
  cases: readonly MatchedCase[],
  counts: (lesion: MatchedLesion) => boolean,
  key: ResamplingKey,
): Figure | null {
  const rows = cases.flatMap(({ patient, lesions }): Row[] => {
    const truth = lesions.filter((one) => one.lesion.kind === 'true' && counts(one))
    const sum = truth.reduce((total, { dice }) => total + dice, 0)
    return truth.length === 0 ? [] : [{ patient, values: [sum, truth.length] }]
  })
  return estimate(rows, ([sum, n]) => ratio(sum!, n!), key)
}

/** Count true, detected, predicted and matched lesions of each case. */
export function rowsOf(cases: readonly MatchedCase[], matched: (lesion: MatchedLesion) => boolean): Row[] {
  return cases.map(({ patient, lesions }) => {
    const of = (kind: LesionMeasures['kind']) => lesions.filter(({ lesion }) => lesion.kind === kind)
    const [truth, predicted] = [of('true'), of('predicted')]
    return {
      patient,
      values: [
        truth.length,
        truth.filter(matched).length,
        predicted.length,
        predicted.filter(matched).length,
      ],
    }
  })
}

/** Statistics of the sums of `rowsOf`; null if undefined. */
export const LESION_STATISTICS = {
  sensitivity: ([found, detected]: readonly number[]) => ratio(detected!, found!),
  precision: ([, , predicted, matched]: readonly number[]) => ratio(matched!, predicted!),
  f1: ([found, detected, predicted, matched]: readonly number[]) =>
    harmonicMean(ratio(detected!, found!), ratio(matched!, predicted!) ?? 0),
} as const

function matchRates(rows: readonly Row[], { seed, name }: ResamplingKey): MatchRates {
  const total = (at: 0 | 1 | 2 | 3): number => rows.reduce((sum, { values }) => sum + values[at]!, 0)
  const figure = (which: keyof typeof LESION_STATISTICS, counts: (values: readonly number[]) => boolean) =>
    estimate(
      rows.filter(({ values }) => counts(values)),
      LESION_STATISTICS[which],
      { seed, name: `${name} ${which}` },
    )
  return {
    numDetected: total(1),
    numFalsePositive: total(2) - total(3),
    sensitivity: figure('sensitivity', ([found]) => found! > 0),
    precision: figure('precision', ([, , predicted]) => predicted! > 0),
    f1: figure('f1', ([found, , predicted]) => found! + predicted! > 0),
  }
}

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}

function harmonicMean(a: number | null, b: number): number | null {
  if (a === null) return null
  return a + b === 0 ? 0 : (2 * a * b) / (a + b)
}
