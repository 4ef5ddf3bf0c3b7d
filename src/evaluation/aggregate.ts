import { estimateMean, LEVEL, RESAMPLES, type ResamplingKey } from './bootstrap.js'
import { summarizeLesions } from './lesions.js'
import type { CaseMeasures, OverlapMeasures } from './measures.js'
import type { MetricGrid, Profile } from './profiles.js'
import type { Figure, OverlapSummary, Summary } from './summary.js'

export interface AggregateOptions {
  /** Seed of the intervals. */
  readonly seed: number
  /** Cases that could not be measured. Default: none. */
  readonly failedCases?: readonly string[] | undefined
  /** Limits of the summary, one sentence each. Default: none. */
  readonly warnings?: readonly string[] | undefined
}

/** Score of a case; null if the case does not count for the mean. */
type Score = (one: CaseMeasures) => number | null

/** Compute the figures of a profile over cases; the order of the cases has no influence. */
export function aggregate(
  cases: readonly CaseMeasures[],
  profile: Profile,
  { seed, failedCases = [], warnings = [] }: AggregateOptions,
): Summary {
  const sorted = byCaseId(cases)
  const surfaces = Object.fromEntries(
    profile.nsdTolerancesMm.map((mm, at) => [
      String(mm),
      meanOf(sorted, tumorScore('nsd', profile, at), { seed, name: `tumor nsd${suffix(at, mm)}` }),
    ]),
  )
  return {
    profile: profile.name,
    grid: gridOf(sorted, profile),
    numCases: sorted.length,
    numPatients: new Set(sorted.map(({ patient }) => patient)).size,
    failedCases: [...failedCases].sort(),
    warnings,
    nsdTolerancesMm: profile.nsdTolerancesMm,
    classes: Object.fromEntries(
      idsOf(sorted).map((id) => [String(id), summarizeLabel(sorted, id, profile, seed)]),
    ),
    meanDice: meanOf(sorted, meanLabelDice(profile), { seed, name: 'mean dice' }),
    tumorDice: meanOf(sorted, tumorScore('dice', profile), { seed, name: 'tumor dice' }),
    tumorNsd: surfaces[String(profile.nsdTolerancesMm[0])] ?? null,
    tumorNsdAtMm: surfaces,
    lesions: profile.lesions ? summarizeLesions(sorted, profile, seed) : null,
    bootstrap: { seed, resamples: RESAMPLES, level: LEVEL, unit: 'patient' },
  }
}

export function byCaseId(cases: readonly CaseMeasures[]): CaseMeasures[] {
  return [...cases].sort((a, b) => (a.caseId < b.caseId ? -1 : 1))
}

export function idsOf(cases: readonly CaseMeasures[]): number[] {
  const ids = new Set(cases.flatMap(({ labels }) => labels.map(({ label }) => label)))
  return [...ids].sort((a, b) => a - b)
}

/** Return the Dice of all tumor labels together, or its NSD at a tolerance. */
export function tumorScore(metric: 'dice' | 'nsd', profile: Profile, toleranceAt = 0): Score {
  return ({ tumor }) => (tumor === null ? null : scoreOf(tumor, metric, profile, toleranceAt))
}

export function labelScore(id: number, metric: 'dice' | 'nsd', profile: Profile, toleranceAt = 0): Score {
  return ({ labels }) => {
    const measured = labels.find(({ label }) => label === id)
    return measured === undefined ? null : scoreOf(measured, metric, profile, toleranceAt)
  }
}

/** Return the mean Dice over the labels that count in the case. */
export function meanLabelDice(profile: Profile): Score {
  return ({ labels }) => {
    const scores = labels.flatMap((measures) => scoreOf(measures, 'dice', profile, 0) ?? [])
    return scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length
  }
}

/** Return the grid of the summary: one resampled case makes it `resampled`. */
function gridOf(cases: readonly CaseMeasures[], profile: Profile): MetricGrid {
  if (cases.some(({ grid }) => grid === 'resampled')) return 'resampled'
  return cases[0]?.grid ?? profile.grid
}

function summarizeLabel(
  cases: readonly CaseMeasures[],
  id: number,
  profile: Profile,
  seed: number,
): OverlapSummary {
  const dice = meanOf(cases, labelScore(id, 'dice', profile), { seed, name: `${id} dice` })
  if (profile.nsdTolerancesMm.length === 0) return { dice }
  const atMm = profile.nsdTolerancesMm.map((mm, at) => {
    const key = { seed, name: `${id} nsd${suffix(at, mm)}` }
    return [String(mm), meanOf(cases, labelScore(id, 'nsd', profile, at), key)] as const
  })
  return { dice, nsd: atMm[0]![1], nsdAtMm: Object.fromEntries(atMm) }
}

function meanOf(cases: readonly CaseMeasures[], score: Score, key: ResamplingKey): Figure | null {
  return estimateMean(
    cases.flatMap((one) => {
      const value = score(one)
      return value === null ? [] : [{ patient: one.patient, value }]
    }),
    key,
  )
}

/** Return the score that counts for a mean; null if the case does not count. */
function scoreOf(
  measures: OverlapMeasures,
  metric: 'dice' | 'nsd',
  profile: Profile,
  toleranceAt: number,
): number | null {
  const inTruth = measures.truePositive + measures.falseNegative > 0
  if (!(inTruth || profile.falseAlarmScoresZero)) return null
  return metric === 'dice' ? measures.dice : (measures.nsd[toleranceAt] ?? null)
}

function suffix(at: number, mm: number): string {
  return at === 0 ? '' : ` ${mm}`
}
