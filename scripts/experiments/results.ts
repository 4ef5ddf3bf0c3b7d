import type { Evaluation } from 'freetumor'

/** Scores of one test case in one arm. */
export interface CaseScore {
  readonly case: string
  /** Tumor Dice; null for a healthy case. */
  readonly dice: number | null
  readonly lesions: readonly { readonly diameterMm: number; readonly detected: boolean }[]
  readonly falsePositives: number
  readonly falsePositiveMl: number
}

/** Return the scores of the cases of one arm, in the order of their names. */
export function scoresOf(cases: Evaluation['cases']): CaseScore[] {
  return cases
    .map(({ caseId, tumor, lesions }) => {
      const real = lesions.filter(({ kind }) => kind === 'true')
      const wrong = lesions.filter(({ kind, matched }) => kind === 'predicted' && !matched)
      return {
        case: caseId.slice(caseId.indexOf('__') + 2),
        dice: real.length === 0 ? null : (tumor?.dice ?? 0),
        lesions: real.map(({ diameterMm, matched }) => ({ diameterMm, detected: matched })),
        falsePositives: wrong.length,
        falsePositiveMl: wrong.reduce((sum, { volumeMl }) => sum + volumeMl, 0),
      }
    })
    .sort((a, b) => a.case.localeCompare(b.case))
}

/** Figures of a case, null where it does not count. */
export type Measure = (score: CaseScore) => number | null

export const MEASURES = {
  tumorDice: ({ dice }) => dice,
  sensitivity: ({ lesions }) => shareOf(lesions),
  falsePositivesHealthy: ({ dice, falsePositives }) => (dice === null ? falsePositives : null),
  falsePositiveMlHealthy: ({ dice, falsePositiveMl }) => (dice === null ? falsePositiveMl : null),
  falsePositivesSick: ({ dice, falsePositives }) => (dice === null ? null : falsePositives),
  sensitivityBelow10Mm: ({ lesions }) => shareOf(lesions.filter(({ diameterMm }) => diameterMm < 10)),
  sensitivity10To15Mm: ({ lesions }) =>
    shareOf(lesions.filter(({ diameterMm }) => diameterMm >= 10 && diameterMm < 15)),
  sensitivityFrom15Mm: ({ lesions }) => shareOf(lesions.filter(({ diameterMm }) => diameterMm >= 15)),
} as const satisfies Readonly<Record<string, Measure>>

export type MeasureName = keyof typeof MEASURES

export const MEASURE_WORDS: Readonly<Record<MeasureName, string>> = {
  tumorDice: 'tumor Dice',
  sensitivity: 'lesion sensitivity',
  falsePositivesHealthy: 'false positives a healthy case',
  falsePositiveMlHealthy: 'false-positive ml a healthy case',
  falsePositivesSick: 'false positives a case with tumors',
  sensitivityBelow10Mm: 'sensitivity, below 10 mm',
  sensitivity10To15Mm: 'sensitivity, 10 to 15 mm',
  sensitivityFrom15Mm: 'sensitivity, from 15 mm',
}

function shareOf(lesions: CaseScore['lesions']): number | null {
  if (lesions.length === 0) return null
  return lesions.filter(({ detected }) => detected).length / lesions.length
}
