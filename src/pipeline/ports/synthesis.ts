import type { PlannedTumor } from '../../sampling/sampling-plan.js'
import type { Organ, Region } from '../../volume/labels.js'
import type { Vec3 } from '../../volume/volume.js'
import type { BaselineSpec, CaseError } from './common.js'
import type { PluginSpec } from './plugin.js'

/** Everything an offline synthesis needs; mirrors python_runtime/freetumor_runtime/config/synthesis.py. */
export interface SynthesizeSpec {
  readonly job: 'synthesize'
  readonly directory: string
  readonly layout: 'plain' | 'nnunet'
  readonly region: Region
  readonly numIds: number
  /** Id of the region -> id in the label maps that are written. */
  readonly labelIds: readonly number[]
  /** Id of ignored voxels in them. */
  readonly ignoredId: number
  readonly organs: readonly Organ[]
  readonly windowHu: readonly [number, number]
  readonly spacingMm: Vec3
  readonly patchVoxels: Vec3
  readonly generator: {
    /** Null with a plug-in. */
    readonly checkpoint: string | null
    readonly channel: 'organ' | 'shared' | null
    readonly weights: string | null
    readonly plugin: PluginSpec | null
  } | null
  readonly generatorWindows: { readonly overlap: number; readonly windowBatch: number }
  /** Number of tumors that are planned for a case, over all variants. */
  readonly tumorsPerCase: number
  readonly baseline: BaselineSpec | null
  readonly judgeOverlap: number
  readonly judgeWindowBatch: number
  readonly measureAlreadySeen: boolean
  readonly measures: readonly string[]
  readonly textureSizeVoxels: Vec3
  readonly textureDirectory: string
  readonly textureSeed: number
  /** Above 0, example pictures of the `pictured` cases are written to `pictures/`. */
  readonly pictures: number
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly processesPerNode: number
  readonly threadsPerProcess: number
  /** Facts in the marks of all files, as SHA-256: the settings that paint, and the generator if there is one. */
  readonly mark: { readonly settings: string; readonly generator: string | null }
  readonly cases: readonly {
    readonly id: string
    /** Name of its files. */
    readonly name: string
    readonly image: string
    readonly label: string
    readonly labelMap: Readonly<Record<string, number>>
    /** Zarr group of the prepared case. */
    readonly prepared: string
    /** SHA-256 of its prepared voxels. */
    readonly contentSha256: string
    readonly pictured: boolean
  }[]
}

/** Variants of cases for the ranks of an offline synthesis, and verdicts on the tumors that they painted. */
export interface VariantFeed {
  /** Return the first round of the next variant; null if no variant is left for this rank. */
  begin(rank: number): Promise<VariantRound | null>
  /** Judge the tumors of a round; return the verdicts and the next round of the variant. */
  judged(rank: number, measures: readonly AttemptMeasures[]): Promise<VariantRound>
  written(rank: number, caseId: string, variant: number, result: VariantResult): Promise<void>
}

export interface VariantRound {
  readonly caseId: string
  readonly variant: number
  readonly subvolumeStart: Vec3
  readonly subvolumeShape: Vec3
  /** Accepted tumors of the previous round. */
  readonly accepted: readonly number[]
  /** Rejected tumors of the previous round that are written into `rejected/`. */
  readonly keptRejected: readonly number[]
  /** Empty if the variant is to be written with its accepted tumors. */
  readonly attempts: readonly {
    readonly tumor: number
    readonly attempt: number
    readonly plan: PlannedTumor
    /** The plan is a smaller copy of a real tumor; null: it is painted. */
    readonly source: AttemptSource | null
  }[]
}

/** A real tumor that is shrunk, in voxels of the subvolume. */
export interface AttemptSource {
  /** A voxel of the tumor: its component (26 neighbours) is the source. */
  readonly voxel: Vec3
  /** Centroid of the source, which is mapped to the voxel `centre`. */
  readonly centroid: Vec3
  readonly centre: Vec3
  /** Lengths of the copy divided by those of the source, at most 1. */
  readonly factor: number
}

export interface AttemptMeasures {
  readonly tumor: number
  readonly syntheticVoxels: number
  readonly seenVoxels: number
  readonly alreadySeenVoxels: number
  readonly contrast: number
  readonly more: Readonly<Record<string, number>>
}

/** Image, label map, change mask, and map of tumor numbers. */
export type WrittenKind = 'image' | 'label' | 'change' | 'tumors'

export type VariantResult = WrittenVariant | { readonly error: CaseError }

export interface WrittenVariant {
  /** Null if no tumor was accepted: nothing is written. */
  readonly files: Readonly<Record<WrittenKind, string>> | null
  readonly sha256?: Readonly<Record<WrittenKind, string>>
  /** Rejected tumors that were written; `file` lies below `rejected/imagesTr/`. */
  readonly rejected?: readonly {
    readonly tumor: number
    readonly attempt: number
    readonly file: string
    readonly sha256: string
  }[]
  /** SHA-256 of the host's image. */
  readonly host?: string
  readonly changedVoxels?: number
  /** Seconds spent on this variant: `read`, `render`, `judge`, `write`. */
  readonly seconds: Readonly<Record<string, number>>
  /** Memory of the process in MB: with its networks loaded, and the peak so far. */
  readonly memoryMb?: { readonly loaded: number; readonly peak: number }
}
