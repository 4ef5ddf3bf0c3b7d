import type { FailureCard } from '../errors.js'
import type { OrganName } from '../volume/labels.js'

export type JobKind = 'baseline' | 'synthesis' | 'segmentation'
export type Outcome = 'completed' | 'stopped' | 'failed'

/** Voxel counts of one label in one case, for Dice, sensitivity and precision. */
export interface ClassCounts {
  readonly label: number
  readonly truePositive: number
  readonly falsePositive: number
  readonly falseNegative: number
}

interface Timed {
  /** ISO 8601, UTC. */
  readonly time: string
}

/** A run started or resumed. */
export interface StartedEvent extends Timed {
  readonly type: 'started'
  readonly job: JobKind
  readonly run: string
  readonly step: number
  readonly steps: number
  readonly device: string
  readonly worldSize: number
  readonly versions: Readonly<Record<string, string>>
  /** Trainable parameters by network. */
  readonly parameters: Readonly<Record<string, number>>
}

/** One optimizer step. */
export interface StepEvent extends Timed {
  readonly type: 'step'
  readonly job: JobKind
  readonly step: number
  readonly epoch: number
  /** Means over the ranks: `total, dice, crossEntropy`, or `generator, discriminator, adversarial, segmentation`. */
  readonly losses: Readonly<Record<string, number>>
  readonly learningRate: number
  readonly seconds: number
  /** Part of `seconds` in which rank 0 waited for crops and verdicts. */
  readonly waitSeconds: number
  /** Memory of rank 0: the peak of the step on a GPU, the resident memory of its process on a CPU; null: unknown. */
  readonly memoryBytes?: number | null
  /** Load of the device of rank 0 in this step, 0 to 1; null: unknown (a GPU without the package nvidia-ml-py). */
  readonly utilization?: number | null
}

/** The synthetic tumors of one step, and the fraction that the baseline segmentor detected. */
export interface SynthesisEvent extends Timed {
  readonly type: 'synthesis'
  readonly step: number
  /** Mean detected fraction over tumors (detected voxels / synthetic voxels), 0 to 1; null if none was painted. */
  readonly shareSeen: number | null
  readonly kept: number
  /** Number of painted and judged tumors. */
  readonly tried: number
  readonly noRoom: number
  readonly byOrgan: Readonly<
    Partial<Record<OrganName, { readonly kept: number; readonly tried: number; readonly shareSeen: number }>>
  >
  /** The same by organ and size, sorted. */
  readonly byKind: readonly {
    readonly organ: OrganName
    readonly size: string
    readonly kept: number
    readonly tried: number
    readonly shareSeen: number
  }[]
}

/** Result of the segmentor on the validation cases. */
export interface ValidationEvent extends Timed {
  readonly type: 'validation'
  readonly step: number
  /** Sum of tumor Dice over cases / cases with a tumor (docs/method.md 10); null when no case has one. */
  readonly tumorDice: number | null
  /** Mean Dice by label id over the cases that have it. */
  readonly diceByLabel: Readonly<Record<string, number>>
  readonly numCases: number
  readonly best: boolean
}

export interface CheckpointEvent extends Timed {
  readonly type: 'checkpoint'
  readonly step: number
  readonly directory: string
  readonly reason: string
}

/** A live command took effect. */
export interface CommandEvent extends Timed {
  readonly type: 'command'
  readonly command: 'setLearningRate' | 'pause' | 'unpause' | 'checkpoint' | 'stop'
  readonly step: number
  readonly value?: number
}

/** A message for the user. */
export interface NoteEvent extends Timed {
  readonly type: 'note'
  readonly level: 'info' | 'warning'
  readonly text: string
}

/** The runtime failed and the run restarts from a checkpoint: later events repeat the steps from there. */
export interface RestartEvent extends Timed {
  readonly type: 'restart'
  /** The next step to run. */
  readonly step: number
  /** Step at which the runtime failed. */
  readonly diedAt: number
  /** Number of this restart since the last new checkpoint, from 1. */
  readonly restart: number
  readonly kind: FailureCard['kind']
  readonly reason: string
}

/** A run ended. */
export interface FinishedEvent extends Timed {
  readonly type: 'finished'
  readonly outcome: Outcome
  readonly reason: string
  /** The next step to run. */
  readonly step: number
}

export type RunEvent =
  | StartedEvent
  | StepEvent
  | SynthesisEvent
  | ValidationEvent
  | CheckpointEvent
  | CommandEvent
  | NoteEvent
  | RestartEvent
  | FinishedEvent
