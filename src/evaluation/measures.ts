import { z } from 'zod'
import { DataError } from '../errors.js'
import type { MetricGrid } from './profiles.js'

const count = z.int().min(0)
const share = z.number().min(0).max(1).nullable()
const overlap = {
  truePositive: count,
  falsePositive: count,
  falseNegative: count,
  dice: share,
  nsd: z.array(share),
}
const measuresSchema = z.strictObject({
  grid: z.enum(['original', 'prepared', 'resampled']),
  spacingMm: z.tuple([z.number(), z.number(), z.number()]),
  removedVoxels: count,
  labels: z.array(z.strictObject({ label: count, ...overlap })),
  tumor: z.strictObject(overlap).nullable(),
  lesions: z.array(
    z.strictObject({
      kind: z.enum(['true', 'predicted']),
      label: count,
      voxels: z.int().min(1),
      volumeMl: z.number().positive(),
      diameterMm: z.number().positive(),
      centreMm: z.tuple([z.number(), z.number(), z.number()]),
      score: share,
      matched: z.boolean(),
    }),
  ),
  lesionOverlaps: z.array(z.tuple([count, count, z.int().min(1)])),
  unmeasuredIds: z.strictObject({ predicted: z.array(count), true: z.array(count) }),
})

/** Voxels of a label in mask and truth. Dice and NSD (0 to 1) are null when neither has it, 0 when only one does. */
export interface OverlapMeasures {
  readonly truePositive: number
  readonly falsePositive: number
  readonly falseNegative: number
  readonly dice: number | null
  /** Normalised surface Dice at each tolerance that was asked for. */
  readonly nsd: readonly (number | null)[]
}

export interface LabelMeasures extends OverlapMeasures {
  readonly label: number
}

/** One 26-connected piece of tumor, of all tumor labels together. */
export interface LesionMeasures {
  readonly kind: 'true' | 'predicted'
  /** The tumor id that most of its voxels have. */
  readonly label: number
  readonly voxels: number
  readonly volumeMl: number
  /** Of the sphere of its volume. */
  readonly diameterMm: number
  /** In the world, RAS. */
  readonly centreMm: readonly [number, number, number]
  /** Highest probability in it; null for true ones, and where no probabilities were given. */
  readonly score: number | null
  /** Shares a voxel with tumor of the other side: a true lesion was detected, a predicted one is no false positive. */
  readonly matched: boolean
}

/** Voxels that a true and a predicted lesion share, by their places among the lesions of their kind. */
export type LesionOverlap = readonly [trueAt: number, predictedAt: number, voxels: number]

/** What was measured of one case (python_runtime/freetumor_runtime/evaluation/case_metrics.py). */
export interface CaseMeasures {
  readonly caseId: string
  /** Cases of one patient depend on each other and are resampled together. */
  readonly patient: string
  readonly grid: MetricGrid
  readonly spacingMm: readonly [number, number, number]
  /** Predicted tumor outside the organ mask, which was taken away. */
  readonly removedVoxels: number
  /** In the order that was asked for. */
  readonly labels: readonly LabelMeasures[]
  /** All tumor labels as one; null when none was asked for. */
  readonly tumor: OverlapMeasures | null
  /** True ones first. */
  readonly lesions: readonly LesionMeasures[]
  readonly lesionOverlaps: readonly LesionOverlap[]
  /** Ids above 0 that were not asked for. */
  readonly unmeasuredIds: { readonly predicted: readonly number[]; readonly true: readonly number[] }
}

/**
 * Checks what the runtime measured of a case.
 * @throws DataError that names the case and the first part that is not as expected
 */
export function parseCaseMeasures(caseId: string, patient: string, result: unknown): CaseMeasures {
  const parsed = measuresSchema.safeParse(result)
  if (parsed.success) return { caseId, patient, ...parsed.data }
  const issue = parsed.error.issues[0]!
  throw new DataError(
    `case ${caseId}: its measures are not as expected at ${issue.path.join('.')}: ${issue.message}`,
    {
      hint: 'the Python runtime is of another version: run `freetumor doctor`',
    },
  )
}

/** A tumor in the label: the case is one of a sick patient. */
export function hasTumor({ tumor }: CaseMeasures): boolean {
  return tumor !== null && tumor.truePositive + tumor.falseNegative > 0
}

/** Predicted lesions that touch no true tumor. */
export function falsePositives({ lesions }: CaseMeasures): LesionMeasures[] {
  return lesions.filter(({ kind, matched }) => kind === 'predicted' && !matched)
}
