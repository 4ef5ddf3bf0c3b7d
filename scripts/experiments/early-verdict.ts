import { openStream } from 'freetumor'
import type { EarlyCell, EarlyResult } from './early-cell.js'
import { DIAMETERS_MM } from './early-figures.js'
import { type EarlyPlan, primaryOf } from './early-plan.js'
import type { Arm } from './plan.js'
import { type Estimate, mean, tInterval, tQuantile, variance } from './statistics.js'

type Judged = Arm | 'start'

/** Measures of an arm: sensitivities at the operating point by diameter, and others. */
export const EARLY_MEASURES: Readonly<Record<string, (result: EarlyResult) => number>> = {
  'sensitivity, below 5 mm (report only)': ({ test }) => rateOf(test, 0),
  'sensitivity, 5 to 10 mm': ({ test }) => rateOf(test, 5),
  'sensitivity, 10 to 20 mm': ({ test }) => rateOf(test, 10),
  'tumor Dice': ({ test }) => test.dice,
  'patient sensitivity': ({ test }) => test.patientSensitivity,
  'patient specificity': ({ test }) => test.patientSpecificity,
  'false positives per healthy scan': ({ test }) => test.falsePositives,
  'patient AUC': ({ auc }) => auc,
  'sensitivity, 5 to 10 mm, all lesions kept': ({ unfiltered }) => rateOf(unfiltered, 5),
  'false positives per healthy scan, all lesions kept': ({ unfiltered }) => unfiltered.falsePositives,
}
const PRIMARY = 'sensitivity, 5 to 10 mm'

export interface EarlyRow {
  readonly arm: Judged
  readonly figures: Readonly<Record<string, Estimate>>
  /** Mean over seeds. */
  readonly froc: EarlyResult['froc']
  /** Sensitivity at 5 to 10 mm of each seed, in order. */
  readonly bySeed: readonly number[]
}

export interface EarlyVerdict {
  /** Seeds with all cells. */
  readonly seeds: readonly number[]
  /** Test lesions of 5 to 10 mm of each seed. */
  readonly lesions: readonly number[]
  readonly rows: readonly EarlyRow[]
  /** Sensitivity at 5 to 10 mm, the arm less the opponent of the primary question; null before two seeds. */
  readonly primary: { readonly gain: Estimate; readonly sd: number; readonly success: boolean } | null
  /** The same less real only; descriptive. */
  readonly toRealOnly: Readonly<Partial<Record<Judged, Estimate>>>
  /** Rate of missed lesions of the start at 5 to 10 and 10 to 20 mm on validation cases, of each seed. */
  readonly missed: readonly (readonly [early: number, later: number])[]
}

/** Answer the question of the plan from its complete seeds. */
export function concludeEarly(plan: EarlyPlan, cells: readonly EarlyCell[]): EarlyVerdict {
  const at = (seed: number, labelled: number) =>
    cells.find((cell) => cell.seed === seed && cell.labelled === labelled)
  const seeds = [...new Set(cells.map(({ seed }) => seed))].filter((seed) =>
    plan.labelled.every((labelled) => at(seed, labelled) !== undefined),
  )
  const own = (seed: number) => plan.labelled.map((labelled) => at(seed, labelled)!)
  const values = (arm: Judged, of: (result: EarlyResult) => number) =>
    seeds.map((seed) => mean(own(seed).map((cell) => of(cell.arms[arm]!))))
  const judged = ['start', ...plan.arms] as const
  const rows = judged.map(
    (arm): EarlyRow => ({
      arm,
      figures: Object.fromEntries(
        Object.entries(EARLY_MEASURES).map(([name, of]) => [name, tInterval(values(arm, of))]),
      ),
      froc: (cells[0]?.arms[arm]?.froc ?? []).map(({ rate }, place) => ({
        rate,
        sensitivity: mean(values(arm, ({ froc }) => froc[place]!.sensitivity)),
      })),
      bySeed: values(arm, EARLY_MEASURES[PRIMARY]!),
    }),
  )
  const less = (first: Judged, second: Judged): number[] => {
    const other = values(second, EARLY_MEASURES[PRIMARY]!)
    return values(first, EARLY_MEASURES[PRIMARY]!).map((value, n) => value - other[n]!)
  }
  const gains = less(...primaryOf(plan))
  const gain = tInterval(gains)
  return {
    seeds,
    lesions: seeds.map((seed) => own(seed)[0]!.arms.start!.test.bins[DIAMETERS_MM.indexOf(5)]!.lesions),
    rows: seeds.length === 0 ? [] : rows,
    primary:
      seeds.length < 2
        ? null
        : { gain, sd: Math.sqrt(variance(gains)), success: gain.mean >= plan.wantedGain && gain.ci[0] > 0 },
    toRealOnly:
      seeds.length < 2
        ? {}
        : Object.fromEntries(
            plan.arms
              .filter((arm) => arm !== 'realOnly')
              .map((arm) => [arm, tInterval(less(arm, 'realOnly'))]),
          ),
    missed: seeds.map((seed) => {
      const rate = (from: number) => {
        const bin = own(seed)[0]!.missedSizes!.find(({ diameterMm }) => diameterMm[0] === from)
        return bin === undefined ? 0 : bin.missed / Math.max(1, bin.found + bin.missed)
      }
      return [rate(5), rate(10)]
    }),
  }
}

const RUNS = 2000

/**
 * Simulate experiments with a true gain; return the share of successes.
 * @param sd standard deviation of the gain between seeds
 */
export function successPower(sd: number, seeds: number, gain: number, wantedGain: number): number {
  const stream = openStream(['early-tumors power', seeds, gain])
  const t = tQuantile(0.975, seeds - 1)
  let successes = 0
  for (let run = 0; run < RUNS; run++) {
    const gains = Array.from({ length: seeds }, () => gain + sd * stream.normal())
    const centre = mean(gains)
    if (centre >= wantedGain && centre - t * Math.sqrt(variance(gains) / seeds) > 0) successes++
  }
  return successes / RUNS
}

function rateOf({ bins }: EarlyResult['test'], from: (typeof DIAMETERS_MM)[number]): number {
  const { lesions, detected } = bins[DIAMETERS_MM.indexOf(from)]!
  return detected / Math.max(1, lesions)
}
