import { z } from 'zod'
import { byCaseId, idsOf, labelScore, meanLabelDice, tumorScore } from './aggregate.js'
import { intervalOf, MIN_PATIENTS, type ResamplingKey, type Row, resample } from './bootstrap.js'
import { matchLesions } from './lesion-matching.js'
import { falsePositiveVolumeMl, LESION_STATISTICS, rowsOf } from './lesions.js'
import { type CaseMeasures, falsePositives } from './measures.js'
import type { Profile } from './profiles.js'
import type { Figure } from './summary.js'
import { signedRank } from './wilcoxon.js'

const figure = z.strictObject({
  mean: z.number(),
  ci: z.tuple([z.number(), z.number()]).nullable().describe('null below 6 patients'),
  n: z.int().min(0),
})
const pairedSchema = z.strictObject({
  name: z.string(),
  unit: z.enum(['share', 'ml', 'lesions']),
  better: z.enum(['higher', 'lower']),
  first: z.number().describe('evaluated masks, over the cases of the difference'),
  second: z.number().describe('masks of the comparison'),
  difference: figure.describe('first - second, with the paired percentile bootstrap over patients'),
  bootstrapP: z
    .number()
    .nullable()
    .describe(
      'two-sided: twice the smaller fraction of resamples on either side of 0; null below 6 patients',
    ),
  wilcoxon: z
    .strictObject({ statistic: z.number(), p: z.number(), n: z.int(), exact: z.boolean() })
    .nullable()
    .describe(
      'signed ranks of the mean difference of each patient; null without differences or values per case, and below 6 patients',
    ),
  oneSided: z.int().describe('cases omitted because only one of the two sets has the figure'),
})
/** The content of comparison.json. */
const comparisonSchema = z.strictObject({
  profile: z.string(),
  first: z.string().describe('folder of the evaluated masks'),
  second: z.string().describe('folder of the masks of the comparison'),
  numCases: z.int().describe('cases in both sets'),
  numPatients: z.int(),
  figures: z.array(pairedSchema),
}) satisfies z.ZodType<Comparison>

/** One figure of two sets of masks on the same cases. */
export interface PairedFigure {
  readonly name: string
  readonly unit: 'share' | 'ml' | 'lesions'
  readonly better: 'higher' | 'lower'
  readonly first: number
  readonly second: number
  /** First minus second. */
  readonly difference: Figure
  /** Not adjusted for multiple comparisons; null below 6 patients. */
  readonly bootstrapP: number | null
  /** Null for figures over all cases together (lesion rates), if no case differs, and below 6 patients. */
  readonly wilcoxon: {
    readonly statistic: number
    readonly p: number
    readonly n: number
    readonly exact: boolean
  } | null
  /** Cases omitted because only one of the two sets has the figure. */
  readonly oneSided: number
}

export interface Comparison {
  readonly profile: string
  readonly first: string
  readonly second: string
  readonly numCases: number
  readonly numPatients: number
  readonly figures: readonly PairedFigure[]
}

/** Return the JSON schema of comparison.json. */
export function comparisonJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(comparisonSchema),
    title: 'freetumor comparison: two sets of masks, case by case',
  }
}

/** Return the first problem of a comparison; null if it is valid. */
export function comparisonProblem(value: unknown): string | null {
  const issue = comparisonSchema.safeParse(value).error?.issues[0]
  return issue ? `${issue.path.join('.')}: ${issue.message}` : null
}

interface Named {
  readonly name: string
  readonly unit: PairedFigure['unit']
  readonly better: PairedFigure['better']
}

type Pair = readonly [first: CaseMeasures, second: CaseMeasures]
type Score = (one: CaseMeasures) => number | null

/** Compare two sets of masks on their common cases, figure by figure. */
export function compare(
  first: readonly CaseMeasures[],
  second: readonly CaseMeasures[],
  profile: Profile,
  options: { readonly seed: number; readonly names: readonly [string, string] },
): Comparison {
  const others = new Map(second.map((one) => [one.caseId, one]))
  const pairs = byCaseId(first).flatMap((one): Pair[] => {
    const other = others.get(one.caseId)
    return other ? [[one, other]] : []
  })
  const { seed } = options
  return {
    profile: profile.name,
    first: options.names[0],
    second: options.names[1],
    numCases: pairs.length,
    numPatients: new Set(pairs.map(([{ patient }]) => patient)).size,
    figures: [
      ...caseFigures(pairs, profile).flatMap(
        ({ score, ...named }) => byCase(pairs, score, named, seed) ?? [],
      ),
      ...(profile.lesions ? lesionFigures(pairs, profile, seed) : []),
    ],
  }
}

function caseFigures(pairs: readonly Pair[], profile: Profile): (Named & { readonly score: Score })[] {
  const share = (name: string, score: Score) => ({
    name,
    score,
    unit: 'share' as const,
    better: 'higher' as const,
  })
  const fewer = (name: string, unit: Named['unit'], score: Score) => ({
    name,
    score,
    unit,
    better: 'lower' as const,
  })
  return [
    share('tumor Dice', tumorScore('dice', profile)),
    ...profile.nsdTolerancesMm.map((mm, at) =>
      share(`tumor NSD at ${mm} mm`, tumorScore('nsd', profile, at)),
    ),
    ...idsOf(pairs.map(([one]) => one)).map((id) => share(`Dice of ${id}`, labelScore(id, 'dice', profile))),
    share('mean Dice', meanLabelDice(profile)),
    ...(profile.lesions
      ? [
          fewer('false-positive volume', 'ml', falsePositiveVolumeMl),
          fewer('false positives', 'lesions', (one) => falsePositives(one).length),
        ]
      : []),
  ]
}

function byCase(pairs: readonly Pair[], score: Score, named: Named, seed: number): PairedFigure | null {
  const scored = pairs.map(([one, other]) => ({ patient: one.patient, a: score(one), b: score(other) }))
  const rows = scored.flatMap(({ patient, a, b }): Row[] =>
    a === null || b === null ? [] : [{ patient, values: [a, b, 1] }],
  )
  const oneSided = scored.filter(({ a, b }) => (a === null) !== (b === null)).length
  const mean = (sums: readonly number[], at: number): number | null =>
    sums[2] === 0 ? null : sums[at]! / sums[2]!
  const paired = pairedFigure(
    rows,
    (sums) => mean(sums, 0),
    (sums) => mean(sums, 1),
    named,
    seed,
  )
  if (paired === null) return null
  const differences = patientDifferences(rows)
  const wilcoxon = differences.length < MIN_PATIENTS ? null : signedRank(differences)
  return { ...paired, wilcoxon, oneSided }
}

/**
 * Return the mean difference of each patient: patients are independent of each other, their cases are not.
 */
function patientDifferences(rows: readonly Row[]): number[] {
  const sums = new Map<string, [sum: number, n: number]>()
  for (const { patient, values } of rows) {
    const [sum, n] = sums.get(patient) ?? [0, 0]
    sums.set(patient, [sum + values[0]! - values[1]!, n + 1])
  }
  return [...sums.values()].map(([sum, n]) => sum / n)
}

function lesionFigures(pairs: readonly Pair[], profile: Profile, seed: number): PairedFigure[] {
  const counts = ([0, 1] as const).map((side) =>
    rowsOf(
      pairs.map((pair) => ({
        patient: pair[0].patient,
        lesions: matchLesions(pair[side], profile.lesionIous),
      })),
      ({ matched }) => matched,
    ),
  )
  const rows = counts[0]!.map(({ patient, values }, at) => ({
    patient,
    values: [...values, ...counts[1]![at]!.values],
  }))
  const names = ['sensitivity', 'precision', 'f1'] as const
  return names.flatMap((which) => {
    const statistic = LESION_STATISTICS[which]
    const named: Named = {
      name: `lesion ${which === 'f1' ? 'F1' : which}`,
      unit: 'share',
      better: 'higher',
    }
    const paired = pairedFigure(
      rows,
      (sums) => statistic(sums.slice(0, 4)),
      (sums) => statistic(sums.slice(4)),
      named,
      seed,
    )
    return paired === null ? [] : [{ ...paired, wilcoxon: null, oneSided: 0 }]
  })
}

function pairedFigure(
  rows: readonly Row[],
  first: (sums: readonly number[]) => number | null,
  second: (sums: readonly number[]) => number | null,
  named: Named,
  seed: number,
): Omit<PairedFigure, 'wilcoxon' | 'oneSided'> | null {
  if (rows.length === 0) return null
  const byPatient = patientSums(rows)
  const sumsOf = (weights: Uint32Array | null): number[] =>
    rows[0]!.values.map((_, column) =>
      byPatient.reduce((sum, values, at) => sum + (weights?.[at] ?? 1) * values[column]!, 0),
    )
  const differenceOf = (sums: readonly number[]): number | null => {
    const [a, b] = [first(sums), second(sums)]
    return a === null || b === null ? null : a - b
  }
  const all = sumsOf(null)
  const mean = differenceOf(all)
  if (mean === null) return null
  const key: ResamplingKey = { seed, name: `difference ${named.name}` }
  const values = resample(byPatient.length, (weights) => differenceOf(sumsOf(weights)), key)
  const below = values.filter((value) => value <= 0).length
  const above = values.filter((value) => value >= 0).length
  return {
    ...named,
    first: first(all)!,
    second: second(all)!,
    difference: { mean, ci: intervalOf(values, mean, byPatient.length), n: rows.length },
    // one more in each count: a finite number of resamples gives no p of 0
    bootstrapP:
      byPatient.length < MIN_PATIENTS
        ? null
        : Math.min(1, (2 * (Math.min(below, above) + 1)) / (values.length + 1)),
  }
}

function patientSums(rows: readonly Row[]): number[][] {
  const sums = new Map<string, number[]>()
  for (const { patient, values } of rows) {
    const before = sums.get(patient)
    sums.set(patient, before ? before.map((sum, at) => sum + values[at]!) : [...values])
  }
  return [...sums.values()]
}
