import { estimateMean, LEVEL, RESAMPLES } from './bootstrap.js'
import { summarizeLesions } from './lesions.js'
import type { MetricGrid, Profile } from './profiles.js'
import type { CaseMeasures, Figure, OverlapMeasures, OverlapSummary, Summary } from './summary.js'

export interface AggregateOptions {
  /** Of the intervals. */
  readonly seed: number
  /** Cases that could not be measured; default none. */
  readonly failedCases?: readonly string[] | undefined
}

/** The figures of a profile over cases; the order of the cases does not matter. */
export function aggregate(
  cases: readonly CaseMeasures[],
  profile: Profile,
  { seed, failedCases = [] }: AggregateOptions,
): Summary {
  const sorted = [...cases].sort((a, b) => (a.caseId < b.caseId ? -1 : 1))
  const tumors = sorted.flatMap(({ tumor }) => tumor ?? [])
  return {
    profile: profile.name,
    grid: gridOf(sorted, profile),
    numCases: sorted.length,
    failedCases: [...failedCases].sort(),
    classes: Object.fromEntries(
      idsOf(sorted).map((id) => [String(id), summarizeLabel(sorted, id, profile, seed)]),
    ),
    meanDice: meanDice(sorted, profile, seed),
    tumorDice: figureOf(tumors, 'dice', profile, { seed, name: 'tumor dice' }),
    tumorNsd: figureOf(tumors, 'nsd', profile, { seed, name: 'tumor nsd' }),
    lesions: profile.lesions ? summarizeLesions(sorted, profile, seed) : null,
    bootstrap: { seed, resamples: RESAMPLES, level: LEVEL },
  }
}

/** One resampled case makes the whole summary one of resampled masks. */
function gridOf(cases: readonly CaseMeasures[], profile: Profile): MetricGrid {
  if (cases.some(({ grid }) => grid === 'resampled')) return 'resampled'
  return cases[0]?.grid ?? profile.grid
}

function idsOf(cases: readonly CaseMeasures[]): number[] {
  const ids = new Set(cases.flatMap(({ labels }) => labels.map(({ label }) => label)))
  return [...ids].sort((a, b) => a - b)
}

function summarizeLabel(
  cases: readonly CaseMeasures[],
  id: number,
  profile: Profile,
  seed: number,
): OverlapSummary {
  const measured = cases.flatMap(({ labels }) => labels.filter(({ label }) => label === id))
  const dice = figureOf(measured, 'dice', profile, { seed, name: `${id} dice` })
  if (profile.nsdToleranceMm === null) return { dice }
  return { dice, nsd: figureOf(measured, 'nsd', profile, { seed, name: `${id} nsd` }) }
}

function meanDice(cases: readonly CaseMeasures[], profile: Profile, seed: number): Figure | null {
  const perCase = cases.flatMap(({ labels }) => {
    const scores = labels.flatMap((measures) => scoreOf(measures, 'dice', profile) ?? [])
    return scores.length === 0 ? [] : scores.reduce((sum, score) => sum + score, 0) / scores.length
  })
  return estimateMean(perCase, { seed, name: 'mean dice' })
}

function figureOf(
  measured: readonly OverlapMeasures[],
  metric: 'dice' | 'nsd',
  profile: Profile,
  key: { readonly seed: number; readonly name: string },
): Figure | null {
  return estimateMean(
    measured.flatMap((measures) => scoreOf(measures, metric, profile) ?? []),
    key,
  )
}

/** The score that counts for a mean; null where the case is left out of it. */
function scoreOf(measures: OverlapMeasures, metric: 'dice' | 'nsd', profile: Profile): number | null {
  const inTruth = measures.truePositive + measures.falseNegative > 0
  return inTruth || profile.falseAlarmScoresZero ? measures[metric] : null
}
