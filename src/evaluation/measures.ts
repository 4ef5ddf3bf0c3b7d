import { z } from 'zod'
import { DataError } from '../errors.js'
import type { LesionFeatures } from './operating-point.js'
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
  removedLesions: count.optional(),
  ignoredVoxels: count,
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
      depthMm: z.number().min(0).optional(),
      contrastHu: z.number().optional(),
      features: z
        .strictObject({
          meanProbability: share,
          elongation: z.number().min(0),
          compactness: z.number().min(0),
          organContact: z.number().min(0).max(1),
        })
        .optional(),
    }),
  ),
  lesionOverlaps: z.array(z.tuple([count, count, z.int().min(1)])),
  unmeasuredIds: z.strictObject({ predicted: z.array(count), true: z.array(count) }),
})

/**
 * Voxels of a label in mask and truth. Dice and NSD (0 to 1) are null if neither has the label, and 0 if only
 * one has it.
 */
export interface OverlapMeasures {
  readonly truePositive: number
  readonly falsePositive: number
  readonly falseNegative: number
  readonly dice: number | null
  /** Normalised surface Dice at each requested tolerance. */
  readonly nsd: readonly (number | null)[]
}

export interface LabelMeasures extends OverlapMeasures {
  readonly label: number
}

/** One 26-connected component of tumor, of all tumor labels together. */
export interface LesionMeasures {
  readonly kind: 'true' | 'predicted'
  /** The most frequent tumor id in its voxels. */
  readonly label: number
  readonly voxels: number
  readonly volumeMl: number
  /** Diameter of the sphere of equal volume. */
  readonly diameterMm: number
  /** Centre in physical space, RAS. */
  readonly centreMm: readonly [number, number, number]
  /** Highest probability in it; null for true lesions, and without probabilities. */
  readonly score: number | null
  /**
   * Shares a voxel with tumor of the other side: a true lesion is detected, a predicted lesion is no false
   * positive.
   */
  readonly matched: boolean
  /** Distance of its centre to the boundary of its organ; true lesions of an organ of the region only. */
  readonly depthMm?: number | undefined
  /** Mean HU less the median of the organ 2 to 6 voxels around it; missing without a scan on the label's grid too. */
  readonly contrastHu?: number | undefined
  /** Features of a predicted lesion, for operating points; absent unless requested. */
  readonly features?: Omit<LesionFeatures, 'label' | 'probability' | 'volumeMl'> | undefined
}

/**
 * Number of voxels that a true and a predicted lesion share. Both are indices among the lesions of their
 * kind.
 */
export type LesionOverlap = readonly [trueAt: number, predictedAt: number, voxels: number]

/** Measures of one case (python_runtime/freetumor_runtime/evaluation/case_metrics.py). */
export interface CaseMeasures {
  readonly caseId: string
  /** Cases of one patient depend on each other and are resampled together. */
  readonly patient: string
  readonly grid: MetricGrid
  readonly spacingMm: readonly [number, number, number]
  /** Voxels of predicted tumor outside the organ mask, which were removed. */
  readonly removedVoxels: number
  /** Predicted lesions that the operating point removed; absent without one. */
  readonly removedLesions?: number | undefined
  /** Voxels of ignored ids of the label, which count in no figure. */
  readonly ignoredVoxels: number
  /** In the requested order. */
  readonly labels: readonly LabelMeasures[]
  /** All tumor labels together; null if none was requested. */
  readonly tumor: OverlapMeasures | null
  /** True lesions first. */
  readonly lesions: readonly LesionMeasures[]
  readonly lesionOverlaps: readonly LesionOverlap[]
  /** Ids above 0 that were not requested. */
  readonly unmeasuredIds: { readonly predicted: readonly number[]; readonly true: readonly number[] }
}

/**
 * Check the measures of a case from the runtime.
 * @throws DataError that names the case and the first wrong part
 */
export function parseCaseMeasures(caseId: string, patient: string, result: unknown): CaseMeasures {
  const parsed = measuresSchema.safeParse(result)
  if (parsed.success) return { caseId, patient, ...parsed.data }
  const issue = parsed.error.issues[0]!
  throw new DataError(`case ${caseId}: wrong measures at ${issue.path.join('.')}: ${issue.message}`, {
    hint: 'run `freetumor doctor`: the Python runtime has another version',
  })
}

/** Return true if the label of the case contains a tumor. */
export function hasTumor({ tumor }: CaseMeasures): boolean {
  return tumor !== null && tumor.truePositive + tumor.falseNegative > 0
}

/** Return the predicted lesions that touch no true tumor. */
export function falsePositives({ lesions }: CaseMeasures): LesionMeasures[] {
  return lesions.filter(({ kind, matched }) => kind === 'predicted' && !matched)
}
