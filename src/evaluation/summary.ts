import { z } from 'zod'
import type { MetricGrid, ProfileName } from './profiles.js'

const count = z.int().min(0)
const figure = z.strictObject({
  mean: z.number(),
  ci: z
    .tuple([z.number(), z.number()])
    .nullable()
    .describe('percentile bootstrap over patients; null below 6 patients'),
  n: count.describe('number of cases that count'),
})
const maybe = (text: string) => figure.nullable().describe(text)
/** Figures by tolerance in mm. */
const atMm = z.record(z.string(), figure.nullable())

const match = {
  numDetected: count,
  numFalsePositive: count,
  sensitivity: maybe(
    'detected fraction of the true lesions, over all cases together; null without a true lesion',
  ),
  precision: maybe('matched fraction of the predicted lesions; null without a predicted lesion'),
  f1: maybe('harmonic mean of both; 0 if no true lesion is detected, null without a true lesion'),
}
const rates = {
  numTrue: count,
  numPredicted: count,
  ...match,
  lesionDice: maybe(
    'mean over true lesions of the Dice with all predicted lesions that touch it; 0 without overlap',
  ),
  detectedDice: maybe('the same over detected lesions only; null without one'),
  atIou: z
    .array(z.strictObject({ iou: z.number(), ...match }))
    .describe(
      'one true and one predicted lesion form a pair at this intersection over union, best pairs first',
    ),
}
const lesionRates = z.strictObject(rates)
const lesionBin = z.strictObject({
  by: z.enum(['diameterMm', 'radiusMm']).describe('of the sphere with the volume of the lesion'),
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
    .describe('highest lesion sensitivity with at most this number of false positives per case'),
  mean: maybe('mean sensitivity over these rates'),
})
const lesionSummary = z.strictObject({
  all: lesionRates,
  bins: z.array(lesionBin).describe('true and predicted lesions by their own size'),
  falsePositiveVolumeMl: maybe('mean over all cases: volume of predicted lesions that touch no true tumor'),
  falsePositiveCount: maybe('mean number of such lesions over all cases'),
  healthy: z.strictObject({
    numCases: count.describe('cases without a tumor'),
    lesionFree: figure
      .nullable()
      .optional()
      .describe(
        'fraction of these cases without a predicted lesion, with a Wilson interval; absent in earlier files',
      ),
    falsePositiveVolumeMl: maybe('mean over these cases'),
    falsePositiveCount: maybe('mean over these cases'),
  }),
  patientSensitivity: maybe('fraction of patients with a tumor in whose scans any tumor voxel is predicted'),
  patientSpecificity: maybe(
    'fraction of patients without a tumor in whose scans no tumor voxel is predicted',
  ),
  scoredBy: z
    .enum(['probability', 'volumeMl'])
    .describe('score of a predicted lesion: its highest probability, or its volume without probabilities'),
  patientAuc: maybe('AUC of the highest lesion score of each patient; null without patients of both kinds'),
  froc: froc.nullable().describe('null without a true lesion'),
})
const overlapSummary = z.strictObject({
  dice: maybe('null if no case counts'),
  nsd: figure.nullable().optional().describe('at the first tolerance; absent if no surface is measured'),
  nsdAtMm: atMm.optional().describe('at each tolerance'),
})

/** The content of summary.json. */
const summarySchema = z.strictObject({
  profile: z.enum(['voco', 'freetumor', 'difftumor', 'lesion']),
  grid: z
    .enum(['original', 'prepared', 'resampled'])
    .describe('that of the files, the prepared grid, or resampled if one case was resampled'),
  labelNames: z.record(z.string(), z.string()).optional().describe('by label id; absent if unknown'),
  numCases: count,
  numPatients: count,
  failedCases: z.array(z.string()).describe('cases that could not be measured; no figure includes them'),
  warnings: z.array(z.string()).describe('limits of the figures'),
  operatingPoint: z
    .strictObject({ sha256: z.string(), removedLesions: count })
    .optional()
    .describe('rule that removed predicted lesions first; absent without one'),
  nsdTolerancesMm: z.array(z.number()),
  classes: z.record(z.string(), overlapSummary).describe('by label id'),
  meanDice: maybe('mean over cases of the mean Dice over the labels that count in the case'),
  tumorDice: maybe('of all tumor labels together'),
  tumorNsd: maybe('of all tumor labels together, at the first tolerance'),
  tumorNsdAtMm: atMm,
  lesions: lesionSummary.nullable().describe('of the profile lesion'),
  bootstrap: z.strictObject({
    seed: z.number(),
    resamples: count,
    level: z.number(),
    unit: z.literal('patient'),
  }),
}) satisfies z.ZodType<Summary>

/** Return the JSON schema of summary.json. */
export function summaryJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(summarySchema),
    title: 'freetumor evaluation: the figures of masks against labels',
  }
}

/** Return the first problem of a summary, for tests and files of another version; null if it is valid. */
export function summaryProblem(value: unknown): string | null {
  const issue = summarySchema.safeParse(value).error?.issues[0]
  return issue ? `${issue.path.join('.')}: ${issue.message}` : null
}

/** A figure with its 95 % interval from resampled patients, null below 6 patients; `n` cases count. */
export interface Figure {
  readonly mean: number
  readonly ci: readonly [low: number, high: number] | null
  readonly n: number
}

export type FiguresAtMm = Readonly<Record<string, Figure | null>>

export interface OverlapSummary {
  /** Null if no case counts. */
  readonly dice: Figure | null
  /** At the first tolerance; missing, as `nsdAtMm`, if no surface is measured. */
  readonly nsd?: Figure | null | undefined
  readonly nsdAtMm?: FiguresAtMm | undefined
}

/** Numbers of matched lesions under one matching rule. */
export interface MatchRates {
  readonly numDetected: number
  readonly numFalsePositive: number
  /** Detected fraction of the true lesions, over all cases together. */
  readonly sensitivity: Figure | null
  /** Matched fraction of the predicted lesions. */
  readonly precision: Figure | null
  /** Harmonic mean of both; 0 if there are true lesions and none is predicted, null without a true lesion. */
  readonly f1: Figure | null
}

/** Lesions of one size, or of all sizes. True and predicted lesions are binned by their own size. */
export interface LesionRates extends MatchRates {
  readonly numTrue: number
  readonly numPredicted: number
  /** Mean over true lesions of the Dice with all predicted lesions that touch it; 0 without overlap. */
  readonly lesionDice: Figure | null
  /** The same over detected lesions. */
  readonly detectedDice: Figure | null
  /** Pairs of one true and one predicted lesion, by minimum IoU. */
  readonly atIou: readonly ({ readonly iou: number } & MatchRates)[]
}

export interface LesionBin extends LesionRates {
  readonly by: 'diameterMm' | 'radiusMm'
  readonly from: number
  /** Excluded; null: no upper end. */
  readonly to: number | null
}

export interface OperatingPoint {
  /** Lesions with at least this score are predicted. */
  readonly threshold: number
  readonly falsePositivesPerCase: number
  readonly sensitivity: number
}

/** Sensitivity of lesions against false positives per case, by falling threshold on the lesion score. */
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
    /** Fraction of these cases without a predicted lesion, with a Wilson interval; missing in earlier files. */
    readonly lesionFree?: Figure | null | undefined
    readonly falsePositiveVolumeMl: Figure | null
    readonly falsePositiveCount: Figure | null
  }
  /** Fraction of patients with a tumor in whose scans any tumor voxel is predicted. */
  readonly patientSensitivity: Figure | null
  /** Fraction of patients without a tumor in whose scans no tumor voxel is predicted. */
  readonly patientSpecificity: Figure | null
  readonly scoredBy: 'probability' | 'volumeMl'
  /** AUC of the highest lesion score of each patient; null without patients of both kinds. */
  readonly patientAuc: Figure | null
  readonly froc: Froc | null
}

/** The content of summary.json. */
export interface Summary {
  readonly profile: ProfileName
  /** `resampled` if one case was resampled: figures then differ from published ones on the prepared grid. */
  readonly grid: MetricGrid
  /** By label id; absent if the ids may be those of another convention. */
  readonly labelNames?: Readonly<Record<string, string>> | undefined
  readonly numCases: number
  readonly numPatients: number
  /** Cases that could not be measured; no figure includes them. */
  readonly failedCases: readonly string[]
  readonly warnings: readonly string[]
  /** Rule that removed predicted lesions before anything was measured; absent without one. */
  readonly operatingPoint?: { readonly sha256: string; readonly removedLesions: number } | undefined
  readonly nsdTolerancesMm: readonly number[]
  /** By label id. */
  readonly classes: Readonly<Record<string, OverlapSummary>>
  /** Mean over cases of the mean Dice over the labels that count in the case: the figure of `voco`. */
  readonly meanDice: Figure | null
  /** Figure of all tumor labels together. */
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
