import type { CellResult } from './cell.js'
import { ARM_WORDS, type Arm, type Plan } from './plan.js'
import { MEASURES, type MeasureName } from './results.js'
import { crossedBootstrap, differences, type Estimate, meanTable } from './statistics.js'

type Table = (number | null)[][]
type Judged = Arm | 'start'

/** One arm compared with others: every measure with its interval over seeds and cases. */
export interface ArmFigures {
  readonly arm: Judged
  readonly figures: Readonly<Partial<Record<MeasureName, Estimate>>>
  /** Tumor Dice less that of real only, paired. */
  readonly diceToRealOnly: Estimate | null
  readonly falsePositivesToRealOnly: Estimate | null
}

/** Who paints, with and without quality control. */
type Painter = 'handCrafted' | 'trained'

export interface QualityControl {
  readonly dice: Estimate
  readonly falsePositives: Estimate
}

export interface Comparison {
  /** Null: the mean over all numbers of labelled cases. */
  readonly labelled: number | null
  readonly seeds: readonly number[]
  readonly arms: readonly ArmFigures[]
  readonly trainedToHandCrafted: Estimate | null
  /** Dice from one arm to the next, paired; null where the plan lacks one of the two. */
  readonly steps: {
    /** Hosts as plain negatives less real only. */
    readonly hosts: Estimate | null
    /** Hand-crafted less hosts as plain negatives. */
    readonly handCraftedTumors: Estimate | null
    /** Trained generator less hosts as plain negatives. */
    readonly generatedTumors: Estimate | null
    /** Trained generator less an untrained one, both under quality control. */
    readonly generatorTraining: Estimate | null
  }
  /** Quality control less all kept: Dice, and false positives on healthy cases. Null where the plan lacks one of the two. */
  readonly qualityControl: Readonly<Record<Painter, QualityControl | null>>
  /** Mean Dice of the trained generator's arm less that of real only, in the order of the seeds. */
  readonly gainBySeed: readonly number[]
}

export interface Conclusion {
  readonly gain: boolean
  /** Each condition of a gain, and whether it is fulfilled. */
  readonly conditions: readonly { readonly text: string; readonly met: boolean }[]
}

/** Required gain of the method, in Dice. */
export const WANTED_GAIN = 0.05

/** Each number of labelled cases by itself, and the mean over them, of the seeds of which every cell is there. */
export function compareArms(cells: readonly CellResult[], plan: Plan): Comparison[] {
  const whole = plan.seeds.filter((seed) =>
    plan.labelled.every((labelled) => cellAt(cells, seed, labelled) !== undefined),
  )
  const each = plan.labelled.flatMap((labelled) => {
    const seeds = plan.seeds.filter((seed) => cellAt(cells, seed, labelled) !== undefined)
    return seeds.length === 0 ? [] : [comparison(cells, plan, seeds, [labelled])]
  })
  return plan.labelled.length > 1 && whole.length > 0
    ? [...each, comparison(cells, plan, whole, plan.labelled)]
    : each
}

function comparison(
  cells: readonly CellResult[],
  plan: Plan,
  seeds: readonly number[],
  labelled: readonly number[],
): Comparison {
  const tableOf = (arm: Judged, measure: MeasureName): Table =>
    meanTable(
      labelled.map((count) =>
        seeds.map((seed) => (cellAt(cells, seed, count)!.scores[arm] ?? []).map(MEASURES[measure])),
      ),
    )
  const has = (arm: Judged): boolean => arm === 'start' || plan.arms.includes(arm)
  const less = (a: Judged, b: Judged, measure: MeasureName): Estimate | null =>
    a === b || !has(a) || !has(b)
      ? null
      : crossedBootstrap(differences(tableOf(a, measure), tableOf(b, measure)), plan.testSeed)
  const qualityControl = (judged: Arm, all: Arm): QualityControl | null => {
    const [dice, falsePositives] = [
      less(judged, all, 'tumorDice'),
      less(judged, all, 'falsePositivesHealthy'),
    ]
    return dice && falsePositives ? { dice, falsePositives } : null
  }
  const gainOf = (seed: number): number => {
    const values = differences(tableOf('trained', 'tumorDice'), tableOf('realOnly', 'tumorDice'))[seed]!
    const there = values.filter((value) => value !== null)
    return there.reduce((sum, value) => sum + value, 0) / Math.max(1, there.length)
  }
  return {
    labelled: labelled.length === 1 ? labelled[0]! : null,
    seeds,
    arms: (['start', ...plan.arms] as const).map((arm) => ({
      arm,
      figures: Object.fromEntries(
        (Object.keys(MEASURES) as MeasureName[]).flatMap((name) => {
          const found = crossedBootstrap(tableOf(arm, name), plan.testSeed)
          return found ? [[name, found]] : []
        }),
      ),
      diceToRealOnly: less(arm, 'realOnly', 'tumorDice'),
      falsePositivesToRealOnly: less(arm, 'realOnly', 'falsePositivesHealthy'),
    })),
    trainedToHandCrafted: less('trained', 'handCrafted', 'tumorDice'),
    steps: {
      hosts: less('plainHosts', 'realOnly', 'tumorDice'),
      handCraftedTumors: less('handCrafted', 'plainHosts', 'tumorDice'),
      generatedTumors: less('trained', 'plainHosts', 'tumorDice'),
      generatorTraining: less('trained', 'untrained', 'tumorDice'),
    },
    qualityControl: {
      handCrafted: qualityControl('handCrafted', 'handCraftedUnjudged'),
      trained: qualityControl('trained', 'trainedUnjudged'),
    },
    gainBySeed: has('trained') ? seeds.map((_, at) => gainOf(at)) : [],
  }
}

/**
 * Select the judged comparison: the mean over the numbers of labelled cases, or in an incomplete run the one with most
 * seeds.
 */
export function judgedOf(comparisons: readonly Comparison[]): Comparison | null {
  return comparisons.reduce<Comparison | null>(
    (best, one) => (best === null || one.seeds.length >= best.seeds.length ? one : best),
    null,
  )
}

/**
 * A gain only when every condition holds for the mean over the numbers of labelled cases: at least 5 Dice points over real only, an
 * interval above zero, no more false positives on healthy cases, and not worse than hand-crafted tumors.
 */
export function conclude({ arms, trainedToHandCrafted }: Comparison): Conclusion {
  const trained = arms.find(({ arm }) => arm === 'trained')
  const gain = trained?.diceToRealOnly ?? null
  const more = trained?.falsePositivesToRealOnly ?? null
  const conditions = [
    {
      text: `at least ${WANTED_GAIN * 100} Dice points over real only: ${points(gain?.mean)}`,
      met: gain !== null && gain.mean >= WANTED_GAIN,
    },
    {
      text: `its 95 % interval lies above zero: ${points(gain?.ci[0])} to ${points(gain?.ci[1])}`,
      met: gain !== null && gain.ci[0] > 0,
    },
    {
      text: `no more false positives on healthy cases than real only: ${signed(more?.mean)} a case`,
      met: more !== null && more.mean <= 0,
    },
    {
      text: `not worse than ${ARM_WORDS.handCrafted}: ${points(trainedToHandCrafted?.mean)}`,
      met: trainedToHandCrafted !== null && trainedToHandCrafted.mean >= 0,
    },
  ]
  return { gain: conditions.every(({ met }) => met), conditions }
}

function cellAt(cells: readonly CellResult[], seed: number, labelled: number): CellResult | undefined {
  return cells.find((cell) => cell.seed === seed && cell.labelled === labelled)
}

export function points(dice: number | undefined): string {
  return dice === undefined ? 'unknown' : `${signed(dice * 100)} points`
}

export function signed(value: number | undefined): string {
  return value === undefined ? 'unknown' : `${value >= 0 ? '+' : '−'}${Math.abs(value).toFixed(2)}`
}
