import type { SizeSettings } from '../simulation/size.js'
import type { SizeClass } from '../simulation/tumor.js'
import type { Organ, OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'

/** A prepared case that training draws from. */
export interface SampledCase {
  readonly id: string
  /** Zarr group of the prepared case. */
  readonly path: string
  /** Visits an epoch, at least 1. */
  readonly repeat: number
  readonly kind: 'labelled' | 'host'
}

/** All that decides the items of a training: two equal plans over equal caches give equal items. */
export interface SamplingPlan {
  /** With `job`, the key of every random stream. */
  readonly seed: number
  readonly job: string
  readonly cases: readonly SampledCase[]
  /** Over all ranks. */
  readonly itemsPerStep: number
  readonly cropsPerVolume: number
  readonly patchVoxels: Vec3
  readonly windowHu: readonly [number, number]
  readonly positiveOdds: number
  readonly negativeOdds: number
  /** Share of positive centres drawn among tumor voxels when the case has any; 0 is the published choice. */
  readonly tumorOdds: number
  /** Organs the job knows; their labels make a positive centre, and tumors go to those with a weight above 0. */
  readonly organs: readonly WeightedOrgan[]
  readonly tumors: TumorSampling
  readonly augmentation: AugmentationOdds
  /** Slab swap between the crops of a volume (METHOD 10). */
  readonly mixing: boolean
}

export interface WeightedOrgan extends Organ {
  readonly weight: number
}

export interface TumorSampling extends SizeSettings {
  /** Independent plans a crop: 0 none, 1 online synthesis, 2 one for the generator's and one for the discriminator's step. */
  readonly draws: 0 | 1 | 2
  /** Which crops get tumors: any with an organ voxel, or only those that also have no real tumor voxel. */
  readonly condition: 'organ' | 'organWithoutTumor'
  readonly perCrop: number
  /** Cases of this list get tumors at its positions only; null: none has listed ones. */
  readonly positions: readonly ListedPosition[] | null
  readonly textureSizeVoxels: Vec3
  readonly textureCount: number
}

/** Where a user wants tumors in a case: RAS millimetres of its scan. */
export interface ListedPosition {
  readonly case: string
  readonly mm: Vec3
  /** Null: the organ that lies there. */
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

/** A tumor to paint, in voxels of the un-augmented crop. */
export interface PlannedTumor {
  readonly organ: OrganName
  readonly size: SizeClass
  /** Warped shape, 0 or 1, C order, `boxShape` voxels; trimmed to the crop. */
  readonly box: Uint8Array
  readonly boxShape: Vec3
  /** Voxel of the crop on which voxel (0, 0, 0) of the box lies. */
  readonly boxOrigin: Vec3
  /** Voxels. */
  readonly edgeSigma: number
  readonly textureIndex: number
  readonly textureStart: Vec3
  readonly handcraftedDifference: number
  /** 0 for the generator's step, 1 for the discriminator's. */
  readonly draw: number
}

export interface PlannedAugmentation {
  readonly flip: readonly [boolean, boolean, boolean]
  /** In the plane of axes 0 and 1, after the flips; 0 to 3. */
  readonly quarterTurns: number
  readonly intensityScale: number
  readonly intensityShift: number
}

/** The crop keeps [0, length) along the axis; the rest is that of crop `partner` of the same item. */
export interface PlannedMixing {
  readonly partner: number
  readonly axis: 0 | 1
  readonly length: number
}

/** No slice of the organ holds a 5 x 5 square of it; or every tumor drawn missed the organ or met an earlier one. */
export type NoRoomReason = 'organTooSmall' | 'noRoom'

/** One crop as it is sent to a rank. Arrays are in C order, `patchVoxels` voxels. */
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
  /** Why at least one tumor that was wanted found no place; null where all did. */
  readonly noRoom: NoRoomReason | null
}
