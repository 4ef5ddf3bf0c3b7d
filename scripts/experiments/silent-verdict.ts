import type { Arm } from './plan.js'
import type { SilentCell, SilentFigures } from './silent-cell.js'
import type { SilentPlan } from './silent-plan.js'
import { type Estimate, mean, tInterval } from './statistics.js'

export const SILENT_MEASURES = ['lesionFree', 'sensitivity', 'falsePositives'] as const
export type SilentMeasure = (typeof SILENT_MEASURES)[number]

/** An arm at one accepted loss: means over the numbers of labelled cases, t intervals over seeds. */
export interface SilentRow {
  readonly arm: Arm
  /** Accepted loss on the validation cases; null: all lesions kept. */
  readonly loss: number | null
  readonly figures: Readonly<Record<SilentMeasure, Estimate>>
  /** Lesion-free rate of each seed, in order. */
  readonly bySeed: readonly number[]
}

export interface SilentVerdict {
  /** Seeds with all cells. */
  readonly seeds: readonly number[]
  readonly rows: readonly SilentRow[]
  /** Lesion-free rate with less without hard negatives at the primary loss, and the same of the sensitivity; null before two seeds. */
  readonly primary: {
    readonly lesionFree: Estimate
    readonly sensitivity: Estimate
    /** The lower end of the lesion-free rate lies above 0. */
    readonly better: boolean
  } | null
}

/** Answer the question of the plan from its complete seeds. */
export function concludeSilent(plan: SilentPlan, cells: readonly SilentCell[]): SilentVerdict {
  const at = (seed: number, labelled: number) =>
    cells.find((cell) => cell.seed === seed && cell.labelled === labelled)
  const seeds = [...new Set(cells.map(({ seed }) => seed))].filter((seed) =>
    plan.labelled.every((labelled) => at(seed, labelled) !== undefined),
  )
  const values = (arm: Arm, loss: number | null, name: SilentMeasure): number[] =>
    seeds.map((seed) =>
      mean(plan.labelled.map((labelled) => figuresOf(at(seed, labelled)!, arm, loss)[name])),
    )
  const rows =
    seeds.length === 0
      ? []
      : [null, ...plan.losses].flatMap((loss) =>
          plan.arms.map(
            (arm): SilentRow => ({
              arm,
              loss,
              figures: Object.fromEntries(
                SILENT_MEASURES.map((name) => [name, tInterval(values(arm, loss, name))]),
              ) as SilentRow['figures'],
              bySeed: values(arm, loss, 'lesionFree'),
            }),
          ),
        )
  const difference = (name: SilentMeasure): Estimate => {
    const without = values('easyNegatives', plan.primaryLoss, name)
    return tInterval(values('hardNegatives', plan.primaryLoss, name).map((value, n) => value - without[n]!))
  }
  if (seeds.length < 2) return { seeds, rows, primary: null }
  const lesionFree = difference('lesionFree')
  return {
    seeds,
    rows,
    primary: { lesionFree, sensitivity: difference('sensitivity'), better: lesionFree.ci[0] > 0 },
  }
}

function figuresOf({ arms }: SilentCell, arm: Arm, loss: number | null): SilentFigures {
  const result = arms[arm]!
  return loss === null ? result.before : result.atLoss.find((one) => one.loss === loss)!
}
