import { openStream } from 'freetumor'
import { mean, tQuantile, variance } from './statistics.js'

/**
 * Dice differences of a pilot by seed, number of labelled cases, and test case. The held-out cases of a seed are the same
 * for all numbers of labelled cases.
 */
export type Differences = readonly (readonly (readonly number[])[])[]

/** Variance components of a paired Dice difference. */
export interface Components {
  /** Between seeds: phantoms, labels and trainings together. */
  readonly seed: number
  /** Between trainings of a seed with other numbers of labelled cases. */
  readonly training: number
  /** Between cases, common to the trainings of a seed. */
  readonly case: number
  /** Variance that is left: a case in one training. */
  readonly residual: number
}

/**
 * Estimate the components by the expected mean squares of a nested design: cases and trainings are crossed within a seed.
 * A negative estimate is 0. With one seed, its component cannot be separated and is 0.
 */
export function varianceComponents(differences: Differences): Components {
  const trainings = differences[0]!.length
  const cases = differences[0]![0]!.length
  const perSeed = differences.map((table) => {
    const all = mean(table.flat())
    const ofTraining = table.map(mean)
    const ofCase = table[0]!.map((_, at) => mean(table.map((row) => row[at]!)))
    const residuals = table.flatMap((row, training) =>
      row.map((value, at) => value - ofTraining[training]! - ofCase[at]! + all),
    )
    const freedom = (trainings - 1) * (cases - 1)
    return {
      mean: all,
      training: trainings > 1 ? cases * variance(ofTraining) : 0,
      case: trainings * variance(ofCase),
      residual: freedom > 0 ? residuals.reduce((sum, value) => sum + value ** 2, 0) / freedom : 0,
    }
  })
  const average = (part: 'training' | 'case' | 'residual'): number => mean(perSeed.map((one) => one[part]))
  const residual = average('residual')
  const training = Math.max(0, (average('training') - residual) / cases)
  const ofCase = Math.max(0, (average('case') - residual) / trainings)
  const within = training / trainings + ofCase / cases + residual / (trainings * cases)
  const between = differences.length > 1 ? variance(perSeed.map((one) => one.mean)) : 0
  return { seed: Math.max(0, between - within), training, case: ofCase, residual }
}

export interface PowerRow {
  readonly seeds: number
  readonly cases: number
  readonly power: number
}

const RUNS = 4000

/**
 * Simulate experiments in which both arms are equally good; return the share whose lower 95 % bound (t over seed means)
 * lies above -margin.
 */
export function powerOf(
  components: Components,
  { seeds, cases, trainings, margin }: { seeds: number; cases: number; trainings: number; margin: number },
): PowerRow {
  const stream = openStream(['quality-policy power', seeds, cases])
  const sd = Math.sqrt(
    components.seed +
      components.training / trainings +
      components.case / cases +
      components.residual / (trainings * cases),
  )
  const t = tQuantile(0.975, seeds - 1)
  let shown = 0
  for (let run = 0; run < RUNS; run++) {
    const means = Array.from({ length: seeds }, () => sd * stream.normal())
    if (mean(means) - t * Math.sqrt(variance(means) / seeds) > -margin) shown++
  }
  return { seeds, cases, power: shown / RUNS }
}
