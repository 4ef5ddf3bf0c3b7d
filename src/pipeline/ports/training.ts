import type { NetworkStage } from '../../config/network-stages.js'
import type { PlannedCrop } from '../../sampling/sampling-plan.js'
import type { ClassCounts, JobKind } from '../../training/events.js'
import type { Organ, Region } from '../../volume/labels.js'
import type { Vec3 } from '../../volume/volume.js'
import type { WeightsLicence } from './checkpoint.js'
import type { BaselineSpec, SlidingWindowsSpec } from './common.js'
import type { PluginSpec } from './plugin.js'

/** Everything a training needs; mirrors python_runtime/freetumor_runtime/config/training.py field by field. */
export interface TrainingSpec {
  readonly job: JobKind
  readonly runId: string
  readonly runDirectory: string
  /** Number of this start in `owner.json`. If that file has another number, rank 0 saves nothing more. */
  readonly ownerNumber: number
  readonly seed: number
  readonly region: Region
  readonly steps: number
  /** Checkpoint directory to resume from. */
  readonly resumeFrom: string | null
  /** Hashes that every checkpoint records; a resumed run compares them. */
  readonly fingerprint: { readonly config: string; readonly data: string }
  readonly itemsPerStep: number
  readonly cropsPerVolume: number
  readonly accumulation: number
  readonly patchVoxels: Vec3
  readonly windowHu: readonly [number, number]
  readonly spacingMm: Vec3
  readonly organs: readonly Organ[]
  /** Region id -> id that the segmentor trains on. */
  readonly trainingLabels: readonly number[]
  readonly labelNames: readonly string[]
  /** Weight of each output in the cross-entropy. */
  readonly crossEntropyWeights: readonly number[]
  readonly mixing: boolean
  readonly synthesis: SynthesisSpec | null
  readonly segmentor: SegmentorSpec
  readonly baseline: BaselineSpec | null
  readonly generator: {
    readonly checkpoint: string | null
    /** Networks that a synthesis training starts from the checkpoint. */
    readonly use: 'both' | 'generator'
    /** Name of one of several sets of weights in that file; null: the only one. */
    readonly weights: string | null
    readonly baseChannels: number
    readonly channel: 'organ' | 'shared'
    readonly outputs: number
    /** Activation checkpointing of the generator and the discriminator. */
    readonly activationCheckpointing: boolean
    readonly plugin: PluginSpec | null
  } | null
  readonly optimizer: OptimizerSpec
  readonly adversarialWeight: number
  /** Name patterns of weights that do not learn. */
  readonly freeze: readonly string[]
  readonly precision: 'fp32' | 'bf16' | 'fp16'
  readonly reproducible: boolean
  readonly compile: boolean
  readonly memoryFormat: 'auto' | 'contiguous' | 'channelsLast'
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly processesPerNode: number
  readonly threadsPerProcess: number
  readonly validation: {
    readonly everySteps: number | null
    /** `contentSha256` is that of the prepared voxels. */
    readonly cases: readonly { readonly id: string; readonly path: string; readonly contentSha256: string }[]
    readonly windows: SlidingWindowsSpec
  }
  readonly checkpoint: { readonly everySteps: number | null }
  /** Example slices of synthetic tumors to leave in `pictures/`. */
  readonly pictures: number
  /** Licences of weights of other projects that the run uses; its checkpoints state them. */
  readonly licences: readonly WeightsLicence[]
}

export interface SynthesisSpec {
  readonly textureSizeVoxels: Vec3
  readonly textureDirectory: string
  readonly textureSeed: number
  /** True when a verdict decides whether the painted crop is used. */
  readonly gated: boolean
  /** True if the policy needs the baseline's output before painting. */
  readonly measureAlreadySeen: boolean
  /** Further measures that the policy needs: names of synthesis/measures.py. */
  readonly measures: readonly string[]
}

export interface SegmentorSpec {
  readonly kind: 'swinunetr' | 'resenc' | 'unet' | 'small'
  readonly featureSize: number
  readonly levels: number
  /** Resolutions of a `resenc` or `unet`, the finest first; empty for the other kinds. */
  readonly stages: readonly NetworkStage[]
  /** True to train the outputs of the lower resolutions of a `resenc` or `unet` too. */
  readonly deepSupervision: boolean
  /** Null for the order of `initialWeights`. */
  readonly patchMerging: 'legacy' | 'corrected' | 'v2' | null
  readonly outputs: number
  readonly initialWeights: string | null
  /** Name of one of several sets of weights in that file; null: the only one. */
  readonly initialWeightsSet: string | null
  readonly activationCheckpointing: boolean
}

export interface OptimizerSpec {
  readonly kind: 'adam' | 'adamw' | 'sgd'
  readonly learningRate: number
  readonly weightDecay: number
  readonly schedule: 'constant' | 'warmupCosine' | 'poly'
  readonly warmupSteps: number
  readonly gradientClip: number | null
}

/** Items of a step for one rank, and the verdicts on the tumors that the rank painted. */
export interface StepFeed {
  crops(step: number, rank: number): Promise<readonly PlannedCrop[]>
  /**
   * Judge the painted tumors of a rank's step from their measures. Called once per rank and step, and again for the
   * attempts that its verdicts ask for.
   */
  judge(step: number, rank: number, measures: readonly CropMeasures[]): Promise<readonly CropVerdict[]>
}

/** Mirrors freetumor.runtime.v1.CropMeasures. */
export interface CropMeasures {
  readonly item: number
  readonly crop: number
  readonly draw: number
  readonly syntheticVoxels: number
  readonly seenVoxels: number
  readonly alreadySeenVoxels: number
  /** Mean windowed intensity of the synthetic voxels, after minus before painting. */
  readonly contrast: number
  /** Further measures that the policy needs, by name. */
  readonly more: Readonly<Record<string, number>>
}

export interface CropVerdict {
  readonly item: number
  readonly crop: number
  readonly accepted: boolean
  readonly reason: string
  /** Attempt of the crop to paint next, after a rejected one; null without another. */
  readonly nextDraw: number | null
}

export interface TrainingSession extends AsyncDisposable {
  /** Ends after `finished`, or throws the error that ended the runtime. */
  readonly events: AsyncIterable<RuntimeEvent>
  /**
   * Send a command; resolve with the first step to which it applies.
   * @throws UsageError if the job refuses it; any other error means that the job has ended
   */
  command(command: RuntimeCommand): Promise<number>
}

export type RuntimeCommand = LiveCommand | ValidationVerdict

/** Commands that a user may send to a training at any time. */
export type LiveCommand =
  | { readonly type: 'setLearningRate'; readonly value: number }
  | { readonly type: 'pause' | 'unpause' | 'checkpoint' }
  | { readonly type: 'stop'; readonly reason: string }

/** Answer to `validationDone`; the training waits for it. */
export interface ValidationVerdict {
  readonly type: 'validationVerdict'
  /** Values for the TensorBoard files, by name. */
  readonly measures: Readonly<Record<string, number>>
  /** Reason why the run ends here, completed; null if it continues. */
  readonly endReason: string | null
}

export type RuntimeEvent =
  | {
      readonly type: 'ready'
      readonly step: number
      readonly device: string
      readonly worldSize: number
      readonly versions: Readonly<Record<string, string>>
      readonly parameters: Readonly<Record<string, number>>
    }
  | {
      readonly type: 'stepDone'
      readonly step: number
      readonly losses: Readonly<Record<string, number>>
      readonly learningRate: number
      readonly seconds: number
      readonly waitSeconds: number
      readonly memoryBytes: number | null
      readonly utilization: number | null
    }
  | { readonly type: 'validationCase'; readonly caseId: string; readonly counts: readonly ClassCounts[] }
  | { readonly type: 'validationDone'; readonly step: number }
  | {
      readonly type: 'checkpointSaved'
      readonly step: number
      readonly directory: string
      readonly reason: string
    }
  | { readonly type: 'note'; readonly level: 'info' | 'warning'; readonly text: string }
  | {
      readonly type: 'finished'
      readonly step: number
      readonly outcome: 'completed' | 'stopped'
      readonly reason: string
    }
