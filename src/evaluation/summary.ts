import { z } from 'zod'
import { DataError } from '../errors.js'
import type { LesionBinning, MetricGrid, ProfileName } from './profiles.js'

const count = z.int().min(0)
const share = z.number().min(0).max(1).nullable()
const overlap = {
  truePositive: count,
  falsePositive: count,
  falseNegative: count,
  dice: share,
  nsd: share,
}
const measuresSchema = z.strictObject({
  grid: z.enum(['original', 'prepared', 'resampled']),
  spacingMm: z.tuple([z.number(), z.number(), z.number()]),
  labels: z.array(z.strictObject({ label: count, ...overlap })),
  tumor: z.strictObject(overlap).nullable(),
  lesions: z.array(
    z.strictObject({
      kind: z.enum(['true', 'predicted']),
      label: count,
      volumeMl: z.number().positive(),
      diameterMm: z.number().positive(),
      centreMm: z.tuple([z.number(), z.number(), z.number()]),
      matched: z.boolean(),
    }),
  ),
  unmeasuredIds: z.array(z.int()),
})

/** Voxels of a label in mask and truth. Dice and NSD (0 to 1) are null when neither has it, 0 when only one does. */
export interface OverlapMeasures {
  readonly truePositive: number
  readonly falsePositive: number
  readonly falseNegative: number
  readonly dice: number | null
  /** Normalised surface Dice at the profile's tolerance; null too when the profile measures none. */
  readonly nsd: number | null
}

export interface LabelMeasures extends OverlapMeasures {
  readonly label: number
}

/** One 26-connected piece of tumor, of all tumor labels together. */
export interface LesionMeasures {
  readonly kind: 'true' | 'predicted'
  /** The tumor id that most of its voxels have. */
  readonly label: number
  readonly volumeMl: number
  /** Of the sphere of its volume. */
  readonly diameterMm: number
  /** In the world, RAS. */
  readonly centreMm: readonly [number, number, number]
  /** Shares a voxel with tumor of the other side: a true lesion was detected, a predicted one is no false positive. */
  readonly matched: boolean
}

/** What was measured of one case (python_runtime/freetumor_runtime/data/case_metrics.py). */
export interface CaseMeasures {
  readonly caseId: string
  readonly grid: MetricGrid
  readonly spacingMm: readonly [number, number, number]
  /** In the order that was asked for. */
  readonly labels: readonly LabelMeasures[]
  /** All tumor labels as one; null when none was asked for. */
  readonly tumor: OverlapMeasures | null
  readonly lesions: readonly LesionMeasures[]
  /** Ids above 0 of mask or label that were not asked for. */
  readonly unmeasuredIds: readonly number[]
}

/** A figure with its 95 % interval from resampled cases; `n` cases count for it. With one case the interval is a point. */
export interface Figure {
  readonly mean: number
  readonly ci: readonly [low: number, high: number]
  readonly n: number
}

export interface OverlapSummary {
  /** Null when no case counts. */
  readonly dice: Figure | null
  /** Missing when the profile measures no surface. */
  readonly nsd?: Figure | null
}

/** Lesions of one size, or of all. True lesions are binned by their own size, predicted ones by theirs. */
export interface LesionRates {
  readonly numTrue: number
  readonly numDetected: number
  readonly numPredicted: number
  readonly numFalsePositive: number
  /** Detected of the true ones, over all cases together. */
  readonly sensitivity: Figure | null
  /** Matched of the predicted ones. */
  readonly precision: Figure | null
  /** Harmonic mean of the two; 0 when there are true lesions and none is predicted, null when there is no true one. */
  readonly f1: Figure | null
}

export interface LesionBin extends LesionRates {
  readonly by: LesionBinning['by']
  readonly from: number
  /** Excluded; null: no upper end. */
  readonly to: number | null
}

export interface LesionSummary {
  readonly all: LesionRates
  readonly bins: readonly LesionBin[]
  /** Mean over cases of the volume of predicted lesions that touch no true tumor. */
  readonly falsePositiveVolumeMl: Figure | null
  /** Cases with a tumor in which any tumor voxel is called. */
  readonly patientSensitivity: Figure | null
  /** Cases without a tumor in which no tumor voxel is called. */
  readonly patientSpecificity: Figure | null
}

/** The content of summary.json. */
export interface Summary {
  readonly profile: ProfileName
  /** `resampled` as soon as one case was: figures then differ from published ones on the prepared grid. */
  readonly grid: MetricGrid
  readonly numCases: number
  /** Cases that could not be measured and are in no figure. */
  readonly failedCases: readonly string[]
  /** By label id. */
  readonly classes: Readonly<Record<string, OverlapSummary>>
  /** Mean over cases of the mean Dice over the labels that count in the case: the one number of `voco`. */
  readonly meanDice: Figure | null
  /** Of all tumor labels as one. */
  readonly tumorDice: Figure | null
  readonly tumorNsd: Figure | null
  readonly lesions: LesionSummary | null
  readonly bootstrap: { readonly seed: number; readonly resamples: number; readonly level: number }
}

/**
 * Checks what the runtime measured of a case.
 * @throws DataError that names the case and the first part that is not as expected
 */
export function parseCaseMeasures(caseId: string, result: unknown): CaseMeasures {
  const parsed = measuresSchema.safeParse(result)
  if (parsed.success) return { caseId, ...parsed.data }
  const issue = parsed.error.issues[0]!
  throw new DataError(
    `case ${caseId}: its measures are not as expected at ${issue.path.join('.')}: ${issue.message}`,
    {
      hint: 'the Python runtime is of another version: run `freetumor doctor`',
    },
  )
}
