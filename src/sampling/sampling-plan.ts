import type { AimedSettings } from '../simulation/curriculum.js'
import type { SizeClass } from '../simulation/tumor.js'
import type { Organ, OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'

/** A prepared case from which a training draws. */
export interface SampledCase {
  readonly id: string
  /** Zarr group of the prepared case. */
  readonly path: string
  /** SHA-256 of its prepared voxels, which the group must have. Default: any. */
  readonly content?: string
  /** Visits per epoch, at least 1. */
  readonly repeat: number
  readonly kind: 'labelled' | 'host'
}

/** Everything that decides the items of a training: equal plans over equal caches give equal items. */
export interface SamplingPlan {
  /** Key of every random stream, together with `job`. */
  readonly seed: number
  readonly job: string
  readonly cases: readonly SampledCase[]
  /** Items of all ranks together. */
  readonly itemsPerStep: number
  readonly cropsPerVolume: number
  readonly patchVoxels: Vec3
  readonly windowHu: readonly [number, number]
  readonly positiveOdds: number
  readonly negativeOdds: number
  /** Fraction of positive centres that are drawn among tumor voxels if the case has any. Published: 0. */
  readonly tumorOdds: number
  /** False positives around which negative crops are drawn; null: none. */
  readonly hardNegatives: HardNegativeSampling | null
  /** Organs of the job. Their labels make a positive centre; organs with a weight above 0 get tumors. */
  readonly organs: readonly WeightedOrgan[]
  readonly tumors: TumorSampling
  readonly augmentation: AugmentationOdds
  /** Swap slabs between the crops of a volume (docs/method.md#10-segmentation-training). */
  readonly mixing: boolean
}

export interface WeightedOrgan extends Organ {
  readonly weight: number
}

export interface TumorSampling extends AimedSettings {
  /**
   * Independent plans per crop: 0 none, online synthesis its attempts, 2 for the steps of generator and
   * discriminator.
   */
  readonly draws: number
  /** True if only one of the plans is used: a further one is made only where the first found room. */
  readonly alternatives: boolean
  /** Crops that get tumors: any with an organ voxel, or only those without a real tumor voxel. */
  readonly condition: 'organ' | 'organWithoutTumor'
  readonly perCrop: number
  /** Cases of this list get tumors only at its positions; null: no listed positions. */
  readonly positions: readonly ListedPosition[] | null
  readonly textureSizeVoxels: Vec3
  readonly textureCount: number
}

/** False positives of a segmentor in the cases of a training. */
export interface HardNegativeSampling {
  readonly list: readonly HardNegative[]
  /** Fraction of the negative centres of a listed case that are drawn around its false positives. */
  readonly share: number
}

/** A false positive: RAS millimetres of its scan. */
export interface HardNegative {
  readonly case: string
  readonly mm: Vec3
  /** Highest probability in it; null if unknown. */
  readonly score: number | null
}

/** A position at which the user wants tumors in a case: RAS millimetres of its scan. */
export interface ListedPosition {
  readonly case: string
  readonly mm: Vec3
  /** Null: the organ at this position. */
  readonly organ: OrganName | null
}

export interface AugmentationOdds {
  readonly flipProbability: number
  readonly rotateProbability: number
  readonly scaleProbability: number
  /** Windowed intensity x (1 + U(-range, range)). */
  readonly scaleRange: number
  readonly shiftProbability: number
  /** Windowed intensity + U(-range, range). */
  readonly shiftRange: number
}

/** A planned tumor, in voxels of the crop before augmentation. */
export interface PlannedTumor {
  readonly organ: OrganName
  readonly size: SizeClass
  /** Warped shape, 0 or 1, C order, `boxShape` voxels, trimmed to the crop. */
  readonly box: Uint8Array
  readonly boxShape: Vec3
  /** Voxel of the crop on which voxel (0, 0, 0) of the box lies. */
  readonly boxOrigin: Vec3
  /** Sigma of the soft edge, in voxels. */
  readonly edgeSigma: number
  readonly textureIndex: number
  readonly textureStart: Vec3
  readonly handcraftedDifference: number
  /** 0 for the generator's step, 1 for the discriminator's; in a segmentation the number of the attempt. */
  readonly draw: number
}

export interface PlannedAugmentation {
  readonly flip: readonly [boolean, boolean, boolean]
  /** Quarter turns in the plane of axes 0 and 1, after the flips; 0 to 3. */
  readonly quarterTurns: number
  readonly intensityScale: number
  readonly intensityShift: number
}

/** The crop keeps [0, length) along the axis and takes the remainder from crop `partner` of the same item. */
export interface PlannedMixing {
  readonly partner: number
  readonly axis: 0 | 1
  readonly length: number
}

/**
 * `organTooSmall`: no slice of the organ contains a 5 x 5 square of it. `noRoom`: every drawn tumor missed
 * the organ or overlapped an earlier one.
 */
export type NoRoomReason = 'organTooSmall' | 'noRoom'

/** One crop as sent to a rank. Arrays are in C order, `patchVoxels` voxels. */
export interface PlannedCrop {
  readonly item: number
  readonly crop: number
  readonly caseId: string
  /** HU. */
  readonly image: Int16Array
  /** Ids of the region's label scheme. */
  readonly label: Uint8Array
  readonly augmentation: PlannedAugmentation
  readonly tumors: readonly PlannedTumor[]
  readonly mixing: PlannedMixing | null
  /** Reason why at least one wanted tumor found no place; null if all did. */
  readonly noRoom: NoRoomReason | null
}
