import type { Profile } from './profiles.js'
import type { CaseMeasures, Figure, LabelMeasures, Summary } from './summary.js'

const RESAMPLES = 2000

export interface AggregateOptions {
  /** Of the bootstrap. */
  readonly seed: number
  readonly tumorIds: readonly number[]
}

/** The figures of a profile over cases; the order of the cases does not matter. */
export function aggregate(
  cases: readonly CaseMeasures[],
  profile: Profile,
  options: AggregateOptions,
): Summary {
  const sorted = [...cases].sort((a, b) => (a.caseId < b.caseId ? -1 : 1))
  const ids = [...new Set(sorted.flatMap((item) => item.labels.map(({ label }) => label)))].sort(
    (a, b) => a - b,
  )
  const bootstrap = (values: readonly number[]): Figure | null => figure(values, options.seed)
  const classes: Record<string, { dice?: Figure; nsd?: Figure }> = {}
  for (const id of ids) {
    const measured = sorted.flatMap((item) => item.labels.filter(({ label }) => label === id))
    const dice = bootstrap(defined(measured.map((one) => diceOf(one, profile))))
    const nsd = bootstrap(defined(measured.map(({ nsd: value }) => value)))
    classes[String(id)] = { ...(dice ? { dice } : {}), ...(nsd ? { nsd } : {}) }
  }
  const perCase = (wanted: (label: number) => boolean): number[] =>
    defined(
      sorted.map((item) =>
        mean(defined(item.labels.filter(({ label }) => wanted(label)).map((one) => diceOf(one, profile)))),
      ),
    )
  return {
    profile: profile.name,
    grid: sorted[0]?.grid ?? 'original',
    numCases: sorted.length,
    classes,
    tumorDice: bootstrap(perCase((label) => options.tumorIds.includes(label))),
    meanDice: bootstrap(perCase(() => true)),
    lesions: profile.lesions ? lesionFigures(sorted) : null,
  }
}

/** 2 TP / (2 TP + FP + FN); for a label that is not in the truth 0 or null, as the profile says. */
export function diceOf(one: LabelMeasures, profile: Profile): number | null {
  const truth = one.truePositive + one.falseNegative
  if (truth === 0) return one.falsePositive > 0 && profile.falseAlarmScoresZero ? 0 : null
  return (2 * one.truePositive) / (2 * one.truePositive + one.falsePositive + one.falseNegative)
}

function lesionFigures(cases: readonly CaseMeasures[]): NonNullable<Summary['lesions']> {
  const lesions = cases.flatMap((item) => item.lesions)
  const real = lesions.filter(({ kind }) => kind === 'true')
  const found = real.filter(({ detected }) => detected).length
  const wrong = lesions.length - real.length
  const sensitivity = real.length > 0 ? found / real.length : null
  const precision = found + wrong > 0 ? found / (found + wrong) : null
  const f1 =
    sensitivity === null || precision === null || sensitivity + precision === 0
      ? null
      : (2 * sensitivity * precision) / (sensitivity + precision)
  return { sensitivity, precision, f1, numTrue: real.length, numFalsePositive: wrong }
}

/** Percentile bootstrap over cases. */
function figure(values: readonly number[], seed: number): Figure | null {
  const average = mean(values)
  if (average === null) return null
  const uniform = generator(seed)
  const means = Float64Array.from({ length: RESAMPLES }, () => {
    let sum = 0
    for (let draw = 0; draw < values.length; draw++) sum += values[Math.floor(uniform() * values.length)]!
    return sum / values.length
  }).sort()
  return {
    mean: average,
    ci: [means[Math.floor(0.025 * RESAMPLES)]!, means[Math.ceil(0.975 * RESAMPLES) - 1]!],
    n: values.length,
  }
}

/** SplitMix32: enough for resampling, and the same on every machine. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length
}

function defined(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null)
}
