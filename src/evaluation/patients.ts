import { estimateMean, intervalOf, resample, type Weights } from './bootstrap.js'
import { type CaseMeasures, hasTumor } from './measures.js'
import type { Figure, LesionSummary } from './summary.js'

/** A patient, summarised over its cases. */
export interface Patient {
  readonly patient: string
  readonly numCases: number
  /** At least one case has a tumor in its label. */
  readonly sick: boolean
  /** At least one case has a predicted tumor voxel. */
  readonly called: boolean
  /** Highest lesion score; 0 without a predicted lesion. */
  readonly score: number
}

/** Return the score of a predicted lesion: its probability if there are probabilities, else its volume. */
export function scoreOf(
  lesion: { readonly score: number | null; readonly volumeMl: number },
  by: LesionSummary['scoredBy'],
): number {
  return by === 'probability' ? (lesion.score ?? 0) : lesion.volumeMl
}

/** Return the kind of score: probabilities count only if every predicted lesion has one. */
export function scoredBy(cases: readonly CaseMeasures[]): LesionSummary['scoredBy'] {
  const predicted = cases.flatMap(({ lesions }) => lesions.filter(({ kind }) => kind === 'predicted'))
  return predicted.length > 0 && predicted.every(({ score }) => score !== null) ? 'probability' : 'volumeMl'
}

/** Summarise patients in order of first occurrence. */
export function patientsOf(cases: readonly CaseMeasures[]): Patient[] {
  const by = scoredBy(cases)
  const patients = new Map<string, Patient>()
  for (const one of cases) {
    const { tumor, lesions, patient } = one
    if (tumor === null) continue
    const before = patients.get(patient)
    const scores = lesions.flatMap((lesion) => (lesion.kind === 'predicted' ? [scoreOf(lesion, by)] : []))
    patients.set(patient, {
      patient,
      numCases: (before?.numCases ?? 0) + 1,
      sick: (before?.sick ?? false) || hasTumor(one),
      called: (before?.called ?? false) || tumor.truePositive + tumor.falsePositive > 0,
      score: scores.reduce((most, score) => Math.max(most, score), before?.score ?? 0),
    })
  }
  return [...patients.values()]
}

/** Compute sensitivity, specificity and AUC; each patient counts once. */
export function patientRates(
  patients: readonly Patient[],
  seed: number,
): Pick<LesionSummary, 'patientSensitivity' | 'patientSpecificity' | 'patientAuc'> {
  const share = (some: readonly Patient[], right: (one: Patient) => boolean, name: string): Figure | null =>
    estimateMean(
      some.map((one) => ({ patient: one.patient, value: right(one) ? 1 : 0 })),
      { seed, name },
    )
  const [sick, healthy] = [patients.filter((one) => one.sick), patients.filter((one) => !one.sick)]
  return {
    patientSensitivity: share(sick, ({ called }) => called, 'patientSensitivity'),
    patientSpecificity: share(healthy, ({ called }) => !called, 'patientSpecificity'),
    patientAuc: areaUnderCurve(patients, seed),
  }
}

function areaUnderCurve(patients: readonly Patient[], seed: number): Figure | null {
  const byScore = [...patients].sort((a, b) => a.score - b.score)
  const mean = weightedArea(byScore, new Uint32Array(patients.length).fill(1))
  if (mean === null) return null
  const key = { seed, name: 'patientAuc' }
  const values = resample(patients.length, (weights) => weightedArea(byScore, weights), key)
  return { mean, ci: intervalOf(values, mean, patients.length), n: patients.length }
}

/**
 * Return the fraction of pairs of a sick and a healthy patient with scores in the right order; ties count
 * half (Mann-Whitney).
 */
function weightedArea(byScore: readonly Patient[], weights: Weights): number | null {
  let [sick, healthy, right] = [0, 0, 0]
  for (let at = 0; at < byScore.length; ) {
    let [sickHere, healthyHere, end] = [0, 0, at]
    for (; end < byScore.length && byScore[end]!.score === byScore[at]!.score; end++) {
      if (byScore[end]!.sick) sickHere += weights[end]!
      else healthyHere += weights[end]!
    }
    right += sickHere * (healthy + healthyHere / 2)
    sick += sickHere
    healthy += healthyHere
    at = end
  }
  return sick === 0 || healthy === 0 ? null : right / (sick * healthy)
}
