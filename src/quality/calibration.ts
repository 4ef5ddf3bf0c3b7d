import { z } from 'zod'
import type { OrganName } from '../volume/labels.js'

const count = z.int().min(0)
const share = z.number().min(0).max(1)
const organ = z.enum(['liver', 'pancreas', 'kidney', 'lung'])
const rate = z.strictObject({ successes: count, of: count, rate: share, ci: z.tuple([share, share]) })

/** Limits of what is read: a calibration is small. */
const MOST_TUMORS = 1_000_000

/** Content of a calibration file (`freetumor calibrate`): measures of one segmentor on held-out cases. */
export const calibrationSchema = z.strictObject({
  format: z.literal('freetumor calibration'),
  version: z.literal(1),
  segmentor: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable()
    .describe('SHA-256 of the checkpoint; null if the masks do not state it'),
  realTumors: z
    .array(
      z.strictObject({
        case: z.string().min(1),
        organ,
        volumeMl: z.number().positive(),
        shareSeen: share.describe('fraction of its voxels that the segmentor labels tumor'),
      }),
    )
    .max(MOST_TUMORS),
  healthy: z
    .strictObject({
      scans: count,
      lesionFree: rate.describe('scans without a predicted lesion, with a Wilson interval'),
      falsePositivesPerScan: z.number().min(0),
      falsePositiveMlPerScan: z.number().min(0),
      seenShare: z
        .partialRecord(organ, share)
        .describe('fraction of the voxels of an organ that the segmentor labels tumor'),
    })
    .nullable(),
})

export type Calibration = z.infer<typeof calibrationSchema>
export type HeldOutTumor = Calibration['realTumors'][number]

/** Content of `calibration.json` of a run: the calibration as its policy used it. */
export const usedCalibrationSchema = z.strictObject({
  file: z.string(),
  sha256: z.string(),
  rejectedShare: share,
  thresholds: z.array(
    z.strictObject({
      organ,
      size: z.string(),
      threshold: z.number().nullable(),
      tumors: count,
      of: z.enum(['size', 'organ', 'none']),
    }),
  ),
  healthy: calibrationSchema.shape.healthy,
})

export type UsedCalibration = z.infer<typeof usedCalibrationSchema>

/** Threshold of the detected fraction for tumors of an organ and a size. */
export interface CalibratedThreshold {
  readonly organ: OrganName
  readonly size: string
  /** A tumor is accepted if its detected fraction is at least this; null accepts all. */
  readonly threshold: number | null
  /** Real tumors that the threshold rests on. */
  readonly tumors: number
  /** Those of the organ and the size, those of the organ in all sizes, or too few of both. */
  readonly of: 'size' | 'organ' | 'none'
}

/** Size classes by volume, of real and synthetic tumors alike. */
export interface SizesByVolume {
  readonly names: readonly string[]
  /** Return the size class of a tumor by its voxels of the prepared grid. */
  sizeOf(voxels: number): string
  /** Volume of a voxel of the prepared grid. */
  readonly voxelMl: number
}

/**
 * Return the thresholds of a calibration (docs/method.md#calibrated-thresholds). The threshold of a kind is the k-th smallest
 * detected fraction of its n real tumors, k = floor(rejectedShare * (n + 1)). So a further real tumor would be rejected with
 * a probability of at most `rejectedShare`. With too few tumors (k = 0), those of the organ in all sizes decide, then none.
 */
export function calibratedThresholds(
  { realTumors, healthy }: Pick<Calibration, 'realTumors' | 'healthy'>,
  rejectedShare: number,
  sizes: SizesByVolume,
): CalibratedThreshold[] {
  const organs = [...new Set(realTumors.map((tumor) => tumor.organ))].sort()
  return organs.flatMap((name) => {
    const ofOrgan = realTumors.filter((tumor) => tumor.organ === name)
    const alreadySeen = healthy?.seenShare[name] ?? 0
    return sizes.names.map((size): CalibratedThreshold => {
      const own = ofOrgan.filter(({ volumeMl }) => sizes.sizeOf(volumeMl / sizes.voxelMl) === size)
      const candidates = [
        { of: 'size', tumors: own },
        { of: 'organ', tumors: ofOrgan },
      ] as const
      for (const { of, tumors } of candidates) {
        const smallest = kthSmallest(tumors, rejectedShare)
        if (smallest !== null)
          return { organ: name, size, threshold: smallest - alreadySeen, tumors: tumors.length, of }
      }
      return { organ: name, size, threshold: null, tumors: ofOrgan.length, of: 'none' }
    })
  })
}

/** Return the fraction below which a further tumor lies with the given probability at most; null for too few tumors. */
function kthSmallest(tumors: readonly HeldOutTumor[], probability: number): number | null {
  const k = Math.floor(probability * (tumors.length + 1) + ROUNDING)
  if (k === 0) return null
  return tumors.map(({ shareSeen }) => shareSeen).sort((a, b) => a - b)[k - 1]!
}

/** 0.1 * (9 + 1) must count as 1. */
const ROUNDING = 1e-9
