import { z } from 'zod'
import type { MetricGrid, ProfileName } from './profiles.js'

const count = z.int().min(0)
const figure = z.strictObject({
  mean: z.number(),
  ci: z.tuple([z.number(), z.number()]).describe('percentile bootstrap over patients'),
  n: count.describe('cases that count for it'),
})
const maybe = (text: string) => figure.nullable().describe(text)
/** By the tolerance in mm. */
const atMm = z.record(z.string(), figure.nullable())

const match = {
  numDetected: count,
  numFalsePositive: count,
  sensitivity: maybe('detected of the true lesions, over all cases together; null without a true one'),
  precision: maybe('matched of the predicted lesions; null without a predicted one'),
  f1: maybe(
    'harmonic mean of the two; 0 when there are true lesions and none is found, null without a true one',
  ),
}
const rates = {
  numTrue: count,
  numPredicted: count,
  ...match,
  lesionDice: maybe(
    'mean over the true lesions of the Dice of each with all predicted lesions that touch it; 0 where none does',
  ),
  detectedDice: maybe('the same over detected lesions only; null when none was'),
  atIou: z
    .array(z.strictObject({ iou: z.number(), ...match }))
    .describe(
      'one true and one predicted lesion are a pair at this intersection over union, best pairs first',
    ),
}
const lesionRates = z.strictObject(rates)
const lesionBin = z.strictObject({
  by: z.enum(['diameterMm', 'radiusMm']).describe('of the sphere of the lesion’s volume'),
  from: z.number(),
  to: z.number().nullable().describe('excluded; null: no upper end'),
  ...rates,
})
const operatingPoint = z.strictObject({
  threshold: z.number(),
  falsePositivesPerCase: z.number(),
  sensitivity: z.number(),
})
const froc = z.strictObject({
  points: z.array(operatingPoint).describe('from the highest threshold down, at most 200'),
  at: z
    .array(z.strictObject({ falsePositivesPerCase: z.number(), sensitivity: figure.nullable() }))
    .describe('highest lesion sensitivity with at most so many false positives a case'),
  mean: maybe('mean sensitivity over those rates'),
})
const lesionSummary = z.strictObject({
  all: lesionRates,
  bins: z.array(lesionBin).describe('true lesions by their own size, predicted ones by theirs'),
  falsePositiveVolumeMl: maybe('mean over all cases: volume of predicted lesions that touch no true tumor'),
  falsePositiveCount: maybe('mean over all cases of their number'),
  healthy: z.strictObject({
    numCases: count.describe('cases without a tumor'),
    falsePositiveVolumeMl: maybe('mean over them'),
    falsePositiveCount: maybe('mean over them'),
  }),
  patientSensitivity: maybe('patients with a tumor in whose scans any tumor voxel is called'),
  patientSpecificity: maybe('patients without a tumor in whose scans no tumor voxel is called'),
  scoredBy: z
    .enum(['probability', 'volumeMl'])
    .describe(
      'of a predicted lesion: its highest probability, or its volume where no probabilities were given',
    ),
  patientAuc: maybe(
    'of the highest lesion score of each patient, 0 without a lesion; null without both kinds',
  ),
  froc: froc.nullable().describe('null without a true lesion'),
})
const overlapSummary = z.strictObject({
  dice: maybe('null when no case counts'),
  nsd: figure.nullable().optional().describe('at the first tolerance; absent when no surface is measured'),
  nsdAtMm: atMm.optional().describe('at each tolerance'),
})

/** The content of summary.json. */
const summarySchema = z.strictObject({
  profile: z.enum(['voco', 'freetumor', 'difftumor', 'lesion']),
  grid: z
    .enum(['original', 'prepared', 'resampled'])
    .describe('that of the files, the prepared one, or resampled as soon as one case was'),
  numCases: count,
  numPatients: count,
  failedCases: z.array(z.string()).describe('could not be measured and are in no figure'),
  warnings: z.array(z.string()).describe('what must be known before the figures are trusted'),
  nsdTolerancesMm: z.array(z.number()),
  classes: z.record(z.string(), overlapSummary).describe('by label id'),
  meanDice: maybe('mean over cases of the mean Dice over the labels that count in the case'),
  tumorDice: maybe('of all tumor labels as one'),
  tumorNsd: maybe('of all tumor labels as one, at the first tolerance'),
  tumorNsdAtMm: atMm,
  lesions: lesionSummary.nullable().describe('of the profile lesion'),
  bootstrap: z.strictObject({
    seed: z.number(),
    resamples: count,
    level: z.number(),
    unit: z.literal('patient'),
  }),
}) satisfies z.ZodType<Summary>

/** The JSON schema of summary.json. */
export function summaryJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(summarySchema),
    title: 'freetumor evaluation: the figures of masks against labels',
  }
}

/** What is wrong with a summary, for tests and for files of another version; null when nothing is. */
export function summaryProblem(value: unknown): string | null {
  const issue = summarySchema.safeParse(value).error?.issues[0]
  return issue ? `${issue.path.join('.')}: ${issue.message}` : null
}

/** A figure with its 95 % interval from resampled patients; `n` cases count for it. With one patient it is a point. */
export interface Figure {
  readonly mean: number
  readonly ci: readonly [low: number, high: number]
  readonly n: number
}

type FiguresAtMm = Readonly<Record<string, Figure | null>>

export interface OverlapSummary {
  /** Null when no case counts. */
  readonly dice: Figure | null
  /** At the first tolerance; missing, as `nsdAtMm`, when no surface is measured. */
  readonly nsd?: Figure | null | undefined
  readonly nsdAtMm?: FiguresAtMm | undefined
}

/** How many lesions found a partner, under one rule for what a partner is. */
export interface MatchRates {
  readonly numDetected: number
  readonly numFalsePositive: number
  /** Detected of the true ones, over all cases together. */
  readonly sensitivity: Figure | null
  /** Matched of the predicted ones. */
  readonly precision: Figure | null
  /** Harmonic mean of the two; 0 when there are true lesions and none is predicted, null when there is no true one. */
  readonly f1: Figure | null
}

/** Lesions of one size, or of all. True lesions are binned by their own size, predicted ones by theirs. */
export interface LesionRates extends MatchRates {
  readonly numTrue: number
  readonly numPredicted: number
  /** Mean over true lesions of the Dice of each with all predicted lesions that touch it; 0 where none does. */
  readonly lesionDice: Figure | null
  /** The same over detected lesions. */
  readonly detectedDice: Figure | null
  /** Pairs of one true and one predicted lesion at least so alike. */
  readonly atIou: readonly ({ readonly iou: number } & MatchRates)[]
}

export interface LesionBin extends LesionRates {
  readonly by: 'diameterMm' | 'radiusMm'
  readonly from: number
  /** Excluded; null: no upper end. */
  readonly to: number | null
}

export interface OperatingPoint {
  /** Lesions of this score or more are called. */
  readonly threshold: number
  readonly falsePositivesPerCase: number
  readonly sensitivity: number
}

/** Sensitivity of lesions against false positives per case, as the threshold on the lesion score falls. */
export interface Froc {
  readonly points: readonly OperatingPoint[]
  readonly at: readonly { readonly falsePositivesPerCase: number; readonly sensitivity: Figure | null }[]
  readonly mean: Figure | null
}

export interface LesionSummary {
  readonly all: LesionRates
  readonly bins: readonly LesionBin[]
  /** Mean over cases of the volume of predicted lesions that touch no true tumor. */
  readonly falsePositiveVolumeMl: Figure | null
  readonly falsePositiveCount: Figure | null
  /** The same over cases without a tumor. */
  readonly healthy: {
    readonly numCases: number
    readonly falsePositiveVolumeMl: Figure | null
    readonly falsePositiveCount: Figure | null
  }
  /** Patients with a tumor in whose scans any tumor voxel is called. */
  readonly patientSensitivity: Figure | null
  /** Patients without a tumor in whose scans no tumor voxel is called. */
  readonly patientSpecificity: Figure | null
  readonly scoredBy: 'probability' | 'volumeMl'
  /** Of the highest lesion score of each patient; null without patients of both kinds. */
  readonly patientAuc: Figure | null
  readonly froc: Froc | null
}

/** The content of summary.json. */
export interface Summary {
  readonly profile: ProfileName
  /** `resampled` as soon as one case was: figures then differ from published ones on the prepared grid. */
  readonly grid: MetricGrid
  readonly numCases: number
  readonly numPatients: number
  /** Cases that could not be measured and are in no figure. */
  readonly failedCases: readonly string[]
  readonly warnings: readonly string[]
  readonly nsdTolerancesMm: readonly number[]
  /** By label id. */
  readonly classes: Readonly<Record<string, OverlapSummary>>
  /** Mean over cases of the mean Dice over the labels that count in the case: the one number of `voco`. */
  readonly meanDice: Figure | null
  /** Of all tumor labels as one. */
  readonly tumorDice: Figure | null
  readonly tumorNsd: Figure | null
  readonly tumorNsdAtMm: FiguresAtMm
  readonly lesions: LesionSummary | null
  readonly bootstrap: {
    readonly seed: number
    readonly resamples: number
    readonly level: number
    readonly unit: 'patient'
  }
}
