import type { Arm } from './plan.js'
import type { PolicyCell } from './policy-cell.js'
import { diceAt, type PointFigures } from './policy-figures.js'
import type { PolicyPlan } from './policy-plan.js'
import type { Differences } from './policy-power.js'
import { type Estimate, mean, tInterval } from './statistics.js'

type Judged = Arm | 'start'

/** Figures that are compared between arms. */
export const POINT_MEASURES = ['dice', 'sensitivity', 'falsePositives', 'lesionFree'] as const
export type PointMeasure = (typeof POINT_MEASURES)[number]

/** An arm against others, over the complete seeds: means over the numbers of labelled cases, t intervals over seeds. */
export interface ArmVerdict {
  readonly arm: Judged
  /** Null: the mean over all numbers of labelled cases. */
  readonly labelled: number | null
  readonly figures: Readonly<Record<PointMeasure, Estimate>>
  /** Without an operating point. */
  readonly unfiltered: Readonly<Record<PointMeasure, Estimate>>
  /** Dice less that of all kept, paired by seed; null for that arm itself. */
  readonly diceToAllKept: Estimate | null
  /** The same of each seed, in order. */
  readonly bySeed: readonly number[]
}

export interface PolicyVerdict {
  /** Seeds with all cells. */
  readonly seeds: readonly number[]
  readonly arms: readonly ArmVerdict[]
  /** The primary question: Dice of calibrated less all kept; null before two complete seeds. */
  readonly primary: { readonly estimate: Estimate; readonly notWorse: boolean } | null
  /** Secondary: unfiltered false positives of calibrated less published. */
  readonly secondary: Estimate | null
}

/** Answer the questions of the plan from its complete seeds. */
export function concludePolicy(plan: PolicyPlan, cells: readonly PolicyCell[]): PolicyVerdict {
  const seeds = [...new Set(cells.map(({ seed }) => seed))].filter((seed) =>
    plan.labelled.every((labelled) => cells.some((cell) => cell.seed === seed && cell.labelled === labelled)),
  )
  const values = (
    arm: Judged,
    labelled: readonly number[],
    of: (figures: { test: PointFigures; unfiltered: PointFigures }) => number,
  ) => seeds.map((seed) => mean(labelled.map((count) => of(cellAt(cells, seed, count).arms[arm]!))))
  const paired = (first: readonly number[], second: readonly number[]): number[] =>
    first.map((value, at) => value - second[at]!)
  const verdictOf = (arm: Judged, labelled: readonly number[]): ArmVerdict => {
    const estimates = (kind: 'test' | 'unfiltered') =>
      Object.fromEntries(
        POINT_MEASURES.map((name) => [name, tInterval(values(arm, labelled, (one) => one[kind][name]))]),
      ) as Record<PointMeasure, Estimate>
    const bySeed = paired(
      values(arm, labelled, ({ test }) => test.dice),
      values('trainedUnjudged', labelled, ({ test }) => test.dice),
    )
    return {
      arm,
      labelled: labelled.length === 1 ? labelled[0]! : null,
      figures: estimates('test'),
      unfiltered: estimates('unfiltered'),
      diceToAllKept: arm === 'trainedUnjudged' ? null : tInterval(bySeed),
      bySeed,
    }
  }
  const rows = [plan.labelled, ...plan.labelled.map((count) => [count])]
  const arms =
    seeds.length === 0
      ? []
      : rows.flatMap((row) => (['start', ...plan.arms] as const).map((arm) => verdictOf(arm, row)))
  const estimate =
    arms.find(({ arm, labelled }) => arm === 'calibrated' && labelled === null)?.diceToAllKept ?? null
  const enough = seeds.length > 1
  const falsePositives = (arm: Judged) =>
    values(arm, plan.labelled, ({ unfiltered }) => unfiltered.falsePositives)
  return {
    seeds,
    arms,
    primary: enough && estimate ? { estimate, notWorse: estimate.ci[0] > -plan.margin } : null,
    secondary:
      enough && plan.arms.includes('published')
        ? tInterval(paired(falsePositives('calibrated'), falsePositives('published')))
        : null,
  }
}

/** Return the Dice differences of two arms by seed, number of labelled cases and test case. */
export function differencesOf(
  plan: PolicyPlan,
  cells: readonly PolicyCell[],
  first: Judged,
  second: Judged,
): Differences {
  const seeds = [...new Set(cells.map(({ seed }) => seed))]
  return seeds.map((seed) =>
    plan.labelled.map((labelled) => {
      const { arms } = cellAt(cells, seed, labelled)
      const [a, b] = [arms[first]!, arms[second]!]
      return a.cases.map((one, at) => diceAt(a.test.threshold, one) - diceAt(b.test.threshold, b.cases[at]!))
    }),
  )
}

function cellAt(cells: readonly PolicyCell[], seed: number, labelled: number): PolicyCell {
  return cells.find((cell) => cell.seed === seed && cell.labelled === labelled)!
}
