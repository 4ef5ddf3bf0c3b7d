import type { PredictSettings } from '../config/predict-settings.js'
import type { PlannedCrop } from '../sampling/plan.js'
import type { ClassCounts, JobKind } from '../training/events.js'
import type { Run } from '../training/run.js'
import type { Organ, Region } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { CheckpointFacts } from './checkpoint-port.js'
import type { EvaluateSpec, MeasuredCase, PicturedCase, PictureSpec } from './evaluation-port.js'
import type { DirectoryLock, LockedWork } from './lock-port.js'
import type { ServeSession, ServeSpec } from './serve-port.js'
import type { SynthesizeSpec, VariantFeed } from './synthesis-port.js'

/**
 * What the stages need of something that computes. The torch runtime implements it (src/runtime), and so does an
 * in-memory twin for tests. Whatever crosses is complete: no default is filled in on the other side.
 */
export interface ModelRuntime {
  /** Starts a training; the feed is asked for steps until the session ends. */
  train(spec: TrainingSpec, feed: StepFeed, options: CallOptions): TrainingSession
  /** Work by case: results come in the order in which they are done; a failed case is a result with `error`. */
  prepare(spec: PrepareSpec, options: CallOptions): AsyncIterable<CaseOutcome<PreparedCase>>
  /** Cases are handed to whichever rank is free. */
  predict(spec: PredictSpec, options: CallOptions): AsyncIterable<CaseOutcome<PredictedCase>>
  evaluate(spec: EvaluateSpec, options: CallOptions): AsyncIterable<CaseOutcome<MeasuredCase>>
  picture(spec: PictureSpec, options: CallOptions): AsyncIterable<CaseOutcome<PicturedCase>>
  /** Offline synthesis: the ranks ask the feed for variants until none is left. */
  synthesize(spec: SynthesizeSpec, feed: VariantFeed, options: CallOptions): Promise<void>
  /** Loads networks once, for calls with volumes in memory, until it is disposed. */
  serve(spec: ServeSpec, options: CallOptions): ServeSession
  /**
   * What a checkpoint file holds, without running its code and before any process of a job starts.
   * @throws CheckpointError for anything but a whole file of weights
   */
  inspect(path: string, options: InspectOptions): Promise<CheckpointFacts>
  /**
   * Lets other processes watch and control a run, until it is disposed.
   * @param file in the run's directory, that says how; one for each host
   * @throws UsageError when another process trains in the run's directory
   */
  share(run: Run, file: string): Promise<AsyncDisposable>
  /**
   * Locks a folder for this process alone, until the lock is disposed; the operating system ends it with the process.
   * @throws what `work` says when another process holds it, EnvironmentError when the folder cannot be written
   */
  lock(directory: string, work: LockedWork): Promise<DirectoryLock>
}

export type InspectOptions = Pick<CallOptions, 'signal'>

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Where logs of the processes go. */
  readonly logDirectory: string
  /** Called with what a user is to know of the job and no result says; a training has `note` events instead. */
  readonly note?: ((text: string, level: 'info' | 'warning') => void) | undefined
  /** A training without a sign for so long is ended; default never. */
  readonly hangSeconds?: number | null | undefined
  /** Of several hosts that train together; default this host alone. */
  readonly place?: HostPlace | undefined
}

/** Which of several hosts this is, and where they meet. */
export interface HostPlace {
  readonly nodes: number
  /** From 0. */
  readonly nodeRank: number
  /** HOST:PORT, on node 0. */
  readonly rendezvous: string
}

/** Items of a step for one rank, and the verdict on what the rank made of them. */
export interface StepFeed {
  frames(step: number, rank: number): Promise<readonly PlannedCrop[]>
  /** Called once a rank and step, with the measures of every tumor painted; returns the verdicts. */
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
  /** What else the policy asks for, by name. */
  readonly more: Readonly<Record<string, number>>
}

export interface CropVerdict {
  readonly item: number
  readonly crop: number
  readonly accepted: boolean
  readonly reason: string
}

export interface TrainingSession extends AsyncDisposable {
  /** Ends after `finished`, or throws what ended the runtime. */
  readonly events: AsyncIterable<RuntimeEvent>
  /**
   * Resolves with the step from which on the command holds.
   * @throws UsageError when the job refuses it; anything else means that the job has ended
   */
  command(command: RuntimeCommand): Promise<number>
}

export type RuntimeCommand = LiveCommand | ValidationVerdict

/** What a user may ask of a training at any time. */
export type LiveCommand =
  | { readonly type: 'setLearningRate'; readonly value: number }
  | { readonly type: 'pause' | 'unpause' | 'checkpoint' }
  | { readonly type: 'stop'; readonly reason: string }

/** The answer to `validationDone`: the training waits for it. */
export interface ValidationVerdict {
  readonly type: 'validationVerdict'
  /** For the TensorBoard files, by name. */
  readonly measures: Readonly<Record<string, number>>
  /** Why the run ends here, completed; null when it goes on. */
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

/** Everything a training needs; mirrors python_runtime/freetumor_runtime/config.py word by word. */
export interface TrainingSpec {
  readonly job: JobKind
  readonly runId: string
  readonly runDirectory: string
  /** Of this start in the run's `owner.json`: with another one there, rank 0 saves nothing more. */
  readonly ownerNumber: number
  readonly seed: number
  readonly region: Region
  readonly steps: number
  /** Checkpoint directory to go on from. */
  readonly resumeFrom: string | null
  /** Hashes that every checkpoint records: a resume compares them. */
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
  readonly baseline: { readonly checkpoint: string; readonly patchMerging: string | null } | null
  readonly generator: {
    readonly checkpoint: string | null
    /** What a synthesis training starts from the checkpoint. */
    readonly use: 'both' | 'generator'
    readonly baseChannels: number
    readonly channel: 'organ' | 'shared'
    readonly outputs: number
    /** Of the generator and the discriminator. */
    readonly activationCheckpointing: boolean
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
    readonly cases: readonly { readonly id: string; readonly path: string }[]
    readonly windows: WindowsSpec
  }
  readonly checkpoint: { readonly everySteps: number | null }
  /** Example slices of synthetic tumors to leave in `pictures/`. */
  readonly pictures: number
}

export interface SynthesisSpec {
  readonly textureSizeVoxels: Vec3
  readonly textureDirectory: string
  readonly textureSeed: number
  /** True when a verdict decides whether the painted crop is used. */
  readonly gated: boolean
  /** True when the policy asks what the baseline saw before painting. */
  readonly measureAlreadySeen: boolean
  /** What else it asks for: names of synthesis/measures.py. */
  readonly measures: readonly string[]
}

export interface SegmentorSpec {
  readonly kind: 'swinunetr' | 'small'
  readonly featureSize: number
  readonly levels: number
  /** Null: the order of `initialWeights`. */
  readonly patchMerging: 'legacy' | 'corrected' | 'v2' | null
  readonly outputs: number
  readonly initialWeights: string | null
  readonly activationCheckpointing: boolean
}

export interface OptimizerSpec {
  readonly kind: 'adam' | 'adamw'
  readonly learningRate: number
  readonly weightDecay: number
  readonly schedule: 'constant' | 'warmupCosine'
  readonly warmupSteps: number
  readonly gradientClip: number | null
}

export interface WindowsSpec {
  readonly overlap: number
  readonly blend: 'constant' | 'gaussian'
  readonly windowBatch: number
}

/** A case that did not work out carries the error instead of a result. */
export type CaseOutcome<T> =
  | { readonly caseId: string; readonly result: T }
  | { readonly caseId: string; readonly error: CaseError }

export interface CaseError {
  readonly kind: string
  readonly message: string
  readonly hint: string
}

export interface PrepareSpec {
  readonly job: 'prepare'
  readonly directory: string
  readonly workers: number
  readonly spacingMm: Vec3
  readonly windowHu: readonly [number, number]
  readonly numIds: number
  /** Check every byte of a case that is reused; a damaged one is prepared again. */
  readonly verify: boolean
  readonly cases: readonly {
    readonly id: string
    readonly image: string
    readonly label: string | null
    /** Source id -> region id. */
    readonly labelMap: Readonly<Record<string, number>>
  }[]
}

export interface PreparedCase {
  readonly path: string
  readonly shape: Vec3
  readonly labelVoxels: readonly number[]
  /** SHA-256 of the prepared image and label. */
  readonly contentSha256: string
  readonly bytes: number
  readonly seconds: number
  readonly reused: boolean
}

export interface PredictSpec {
  readonly job: 'predict'
  readonly directory: string
  /** More than one: the mean of their probabilities. */
  readonly members: readonly { readonly checkpoint: string; readonly patchMerging: string | null }[]
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly processesPerNode: number
  readonly threadsPerProcess: number
  readonly precision: PredictSettings['precision']
  readonly windowHu: readonly [number, number]
  readonly spacingMm: Vec3
  readonly patchVoxels: Vec3
  readonly windows: WindowsSpec
  readonly mirrorAxes: PredictSettings['mirrorAxes']
  readonly cropForeground: boolean
  readonly padding: PredictSettings['padding']
  readonly minForeground: number
  readonly grid: PredictSettings['grid']
  readonly resampling: PredictSettings['resampling']
  readonly dataType: PredictSettings['dataType']
  readonly tumorOutputs: readonly number[]
  /** Ids that are the organ in an organ mask; none: every id but 0. */
  readonly organIds: readonly number[]
  /** For each output its id in the mask. */
  readonly maskIds: readonly number[]
  /** Outputs whose probabilities are written. */
  readonly probabilities: readonly number[]
  readonly cases: readonly {
    readonly id: string
    readonly image: string
    /** Label map on the scan's grid; tumors outside it become background. */
    readonly organMask: string | null
    /** Label of the scan, brought to the prepared grid beside the mask. */
    readonly label: string | null
    /** Of its files. */
    readonly name: string
  }[]
}

export interface PredictedCase {
  /** Name in the output folder -> SHA-256; the mask comes first. */
  readonly files: Readonly<Record<string, string>>
  readonly seconds: { readonly read: number; readonly segment: number; readonly write: number }
  /** `blank` shared the output of one that was computed; `leftOut` could not matter, or were not wanted. */
  readonly windows: {
    readonly all: number
    readonly computed: number
    readonly blank: number
    readonly leftOut: number
  }
  /** Voxels of each id of the mask. */
  readonly labelVoxels: readonly number[]
}
