import { estimate, estimateMean, type ResamplingKey } from './bootstrap.js'
import type { LesionBinning, Profile } from './profiles.js'
import type { CaseMeasures, LesionBin, LesionMeasures, LesionRates, LesionSummary } from './summary.js'

/** Figures of lesions and of patients over cases whose lesions were measured. */
export function summarizeLesions(
  cases: readonly CaseMeasures[],
  profile: Profile,
  seed: number,
): LesionSummary {
  const volumes = cases.map(({ lesions }) => falsePositiveVolumeMl(lesions))
  return {
    all: rates(cases, 'lesions', seed, () => true),
    bins: profile.lesionBinnings.flatMap((binning) => binsOf(cases, binning, seed)),
    falsePositiveVolumeMl: estimateMean(volumes, { seed, name: 'falsePositiveVolumeMl' }),
    ...patientRates(cases, seed),
  }
}

function falsePositiveVolumeMl(lesions: readonly LesionMeasures[]): number {
  const falsePositives = lesions.filter(({ kind, matched }) => kind === 'predicted' && !matched)
  return falsePositives.reduce((sum, { volumeMl }) => sum + volumeMl, 0)
}

function binsOf(cases: readonly CaseMeasures[], { by, edges }: LesionBinning, seed: number): LesionBin[] {
  return [0, ...edges].map((from, n) => {
    const to = edges[n] ?? null
    const inside = (lesion: LesionMeasures): boolean => {
      const size = by === 'diameterMm' ? lesion.diameterMm : lesion.diameterMm / 2
      return size >= from && (to === null || size < to)
    }
    return { by, from, to, ...rates(cases, `${by} ${from}`, seed, inside) }
  })
}

/** True, detected, predicted and matched lesions of a case that `wanted` takes. */
type LesionCounts = readonly [found: number, detected: number, predicted: number, matched: number]

function rates(
  cases: readonly CaseMeasures[],
  name: string,
  seed: number,
  wanted: (lesion: LesionMeasures) => boolean,
): LesionRates {
  const counts = cases.map(({ lesions }) => countLesions(lesions.filter(wanted)))
  const key = (figure: string): ResamplingKey => ({ seed, name: `${name} ${figure}` })
  const total = (at: 0 | 1 | 2 | 3): number => counts.reduce((sum, row) => sum + row[at], 0)
  return {
    numTrue: total(0),
    numDetected: total(1),
    numPredicted: total(2),
    numFalsePositive: total(2) - total(3),
    sensitivity: estimate(
      counts.filter(([found]) => found > 0),
      ([found, detected]) => ratio(detected!, found!),
      key('sensitivity'),
    ),
    precision: estimate(
      counts.filter(([, , predicted]) => predicted > 0),
      ([, , predicted, matched]) => ratio(matched!, predicted!),
      key('precision'),
    ),
    f1: estimate(
      counts.filter(([found, , predicted]) => found + predicted > 0),
      ([found, detected, predicted, matched]) =>
        harmonicMean(ratio(detected!, found!), ratio(matched!, predicted!) ?? 0),
      key('f1'),
    ),
  }
}

function countLesions(lesions: readonly LesionMeasures[]): LesionCounts {
  const of = (kind: LesionMeasures['kind']) => lesions.filter((lesion) => lesion.kind === kind)
  const matched = (some: readonly LesionMeasures[]) => some.filter((lesion) => lesion.matched).length
  const [truth, predicted] = [of('true'), of('predicted')]
  return [truth.length, matched(truth), predicted.length, matched(predicted)]
}

function patientRates(
  cases: readonly CaseMeasures[],
  seed: number,
): Pick<LesionSummary, 'patientSensitivity' | 'patientSpecificity'> {
  const sick: number[] = []
  const healthy: number[] = []
  for (const { tumor } of cases) {
    if (tumor === null) continue
    const called = tumor.truePositive + tumor.falsePositive > 0
    if (tumor.truePositive + tumor.falseNegative > 0) sick.push(called ? 1 : 0)
    else healthy.push(called ? 0 : 1)
  }
  return {
    patientSensitivity: estimateMean(sick, { seed, name: 'patientSensitivity' }),
    patientSpecificity: estimateMean(healthy, { seed, name: 'patientSpecificity' }),
  }
}

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}

function harmonicMean(a: number | null, b: number): number | null {
  if (a === null) return null
  return a + b === 0 ? 0 : (2 * a * b) / (a + b)
}
