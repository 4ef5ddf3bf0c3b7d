import type { Evaluation } from 'freetumor'

/** A predicted lesion: its score, its voxels, and the voxels that it shares with true lesions. */
export interface PredictedLesion {
  readonly score: number
  readonly voxels: number
  /** Pairs of a true lesion, by its place, and the shared voxels. */
  readonly shared: readonly (readonly [lesion: number, voxels: number])[]
}

/** A held-out case with its lesions, from which figures at any operating point follow. */
export interface ScoredCase {
  readonly case: string
  /** Voxels of each true lesion; none in a healthy case. */
  readonly truth: readonly number[]
  readonly predicted: readonly PredictedLesion[]
}

/** Figures of an arm at its operating point. */
export interface PointFigures {
  /** Predicted lesions below this score are dropped. */
  readonly threshold: number
  /** Mean over the cases with tumors. */
  readonly dice: number
  readonly sensitivity: number
  /** Mean over the healthy cases. */
  readonly falsePositives: number
  readonly lesionFree: number
}

/** Return the scored cases of an arm, in the order of their names. */
export function scoredCases(cases: Evaluation['cases']): ScoredCase[] {
  return cases
    .map(({ caseId, lesions, lesionOverlaps }) => {
      const truth = lesions.filter(({ kind }) => kind === 'true').map(({ voxels }) => voxels)
      const predicted = lesions
        .filter(({ kind }) => kind === 'predicted')
        .map(({ score, voxels }, at) => ({
          score: score ?? 1,
          voxels,
          shared: lesionOverlaps.flatMap(([lesion, place, shared]) =>
            place === at ? [[lesion, shared] as const] : [],
          ),
        }))
      return { case: caseId.slice(caseId.indexOf('__') + 2), truth, predicted }
    })
    .sort((a, b) => a.case.localeCompare(b.case))
}

/**
 * Return the lowest score at which the healthy cases have at most `rate` false positives on average, so that all arms are
 * compared at the same cost. An arm with fewer keeps all its lesions.
 */
export function thresholdAt(rate: number, healthy: readonly ScoredCase[]): number {
  const scores = healthy.flatMap(({ predicted }) => predicted.map(({ score }) => score)).sort((a, b) => b - a)
  const allowed = Math.floor(rate * healthy.length)
  const firstTooMany = scores[allowed]
  if (firstTooMany === undefined) return 0
  // ties with the first lesion too many are dropped too
  const higher = scores.filter((score) => score > firstTooMany)
  return higher.at(-1) ?? Number.POSITIVE_INFINITY
}

/** Return the Dice of all tumors of a case without its lesions below a score. */
export function diceAt(threshold: number, { truth, predicted }: ScoredCase): number {
  const kept = predicted.filter(({ score }) => score >= threshold)
  const shared = sum(kept.flatMap((lesion) => lesion.shared.map(([, voxels]) => voxels)))
  return (2 * shared) / (sum(truth) + sum(kept.map(({ voxels }) => voxels)))
}

/** Return the figures of cases at an operating point. */
export function figuresAt(threshold: number, cases: readonly ScoredCase[]): PointFigures {
  const kept = ({ predicted }: ScoredCase) => predicted.filter(({ score }) => score >= threshold)
  const sick = cases.filter(({ truth }) => truth.length > 0)
  const healthy = cases.filter(({ truth }) => truth.length === 0)
  const found = sick.map(
    (one) => new Set(kept(one).flatMap(({ shared }) => shared.map(([lesion]) => lesion))).size,
  )
  return {
    threshold,
    dice: mean(sick.map((one) => diceAt(threshold, one))),
    sensitivity: sum(found) / sum(sick.map(({ truth }) => truth.length)),
    falsePositives: mean(healthy.map((one) => kept(one).length)),
    lesionFree: mean(healthy.map((one) => (kept(one).length === 0 ? 1 : 0))),
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length
}
