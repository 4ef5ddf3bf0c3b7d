import type { PredictSettings } from '../../config/predict-settings.js'
import type { LesionRule } from '../../evaluation/operating-point.js'
import type { Vec3 } from '../../volume/volume.js'
import type { SlidingWindowsSpec } from './common.js'
import type { PluginSpec } from './plugin.js'

export interface PrepareSpec {
  readonly job: 'prepare'
  readonly directory: string
  readonly workers: number
  readonly spacingMm: Vec3
  readonly windowHu: readonly [number, number]
  readonly numIds: number
  readonly compression: 'none' | 'blosc'
  /** Check every byte of a case that is reused; prepare a damaged case again. */
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

/** Rule that removes predicted lesions: kept if the intercept and the weighted features sum to at least the threshold. */
export interface OperatingPointSpec {
  /** Ids of the mask that are tumors. */
  readonly tumorIds: readonly number[]
  readonly terms: LesionRule['terms']
  readonly intercept: number
  readonly threshold: number
}

export interface PredictSpec {
  readonly job: 'predict'
  readonly directory: string
  /** If there are several, their probabilities are averaged; none with a plug-in. */
  readonly members: readonly {
    readonly checkpoint: string
    readonly patchMerging: string | null
    /** Name of one of several sets of weights in the file; null: the only one. */
    readonly weights: string | null
  }[]
  /** Segments instead of members. */
  readonly plugin: PluginSpec | null
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly processesPerNode: number
  readonly threadsPerProcess: number
  readonly precision: PredictSettings['precision']
  readonly windowHu: readonly [number, number]
  readonly spacingMm: Vec3
  readonly patchVoxels: Vec3
  readonly windows: SlidingWindowsSpec
  readonly windowChoice: PredictSettings['windows']
  readonly mirrorAxes: PredictSettings['mirrorAxes']
  readonly cropForeground: boolean
  readonly padding: PredictSettings['padding']
  readonly minForeground: number
  readonly grid: PredictSettings['grid']
  readonly resampling: PredictSettings['resampling']
  readonly method: PredictSettings['method']
  readonly dataType: PredictSettings['dataType']
  readonly tumorOutputs: readonly number[]
  /** Ids of the organ in an organ mask; empty means every id but 0. */
  readonly organIds: readonly number[]
  /** Id in the mask of each output. */
  readonly maskIds: readonly number[]
  /** Outputs whose probabilities are written. */
  readonly probabilities: readonly number[]
  readonly cases: readonly {
    readonly id: string
    readonly image: string
    /** Label map on the scan's grid; tumors outside it become background. */
    readonly organMask: string | null
    /** Label of the scan; it is resampled to the prepared grid, as the mask is. */
    readonly label: string | null
    /** Name of its files. */
    readonly name: string
  }[]
  /** Null: every lesion is kept. */
  readonly operatingPoint: OperatingPointSpec | null
  /** A segmentor of a coarser grid that chooses the sliding windows; null: the members look at windows side by side. */
  readonly glance: {
    readonly member: PredictSpec['members'][number]
    readonly windowHu: readonly [number, number]
    readonly spacingMm: Vec3
    readonly patchVoxels: Vec3
  } | null
}

export interface PredictedCase {
  /** Name in the output folder -> SHA-256; the mask comes first. */
  readonly files: Readonly<Record<string, string>>
  readonly seconds: { readonly read: number; readonly segment: number; readonly write: number }
  /** `blank` windows share the output of one computed window; `leftOut` windows cannot change the result, or were not requested. */
  readonly windows: {
    readonly all: number
    readonly computed: number
    readonly blank: number
    readonly leftOut: number
  }
  /** Voxels of each id of the mask. */
  readonly labelVoxels: readonly number[]
  /** Predicted lesions that the operating point kept and removed; absent without one. */
  readonly lesions?: { readonly kept: number; readonly removed: number } | undefined
}

/** Input of an evaluation; mirrors python_runtime/freetumor_runtime/config/cases.py field by field. */
export interface EvaluateSpec {
  readonly job: 'evaluate'
  readonly workers: number
  readonly labels: readonly number[]
  readonly tumorLabels: readonly number[]
  /** Empty for no surface measure. */
  readonly nsdTolerancesMm: readonly number[]
  readonly lesions: boolean
  /** Resample masks to this spacing first (nearest); null keeps their grid. */
  readonly spacingMm: Vec3 | null
  /** Source id -> measured id; null for no change. An id outside the map fails its case. */
  readonly predictionMap: Readonly<Record<string, number>> | null
  readonly labelMap: Readonly<Record<string, number>> | null
  /** Ids of the label files whose voxels count in no figure. */
  readonly ignoredIds: readonly number[]
  readonly cases: readonly {
    readonly id: string
    readonly prediction: string
    readonly label: string
    /** Predicted tumor outside this mask is removed. */
    readonly organ: string | null
    /** Probability files; their sum scores the lesions. Empty for no scores. */
    readonly scores: readonly string[]
    /** Scan on which the contrast of true lesions is measured. */
    readonly image: string | null
  }[]
  /** Measure the features of predicted lesions that an operating point may use. */
  readonly lesionFeatures: boolean
  /** Removes predicted lesions first; null keeps all. */
  readonly operatingPoint: OperatingPointSpec | null
  /** Tumor id -> id of its organ: depth and contrast of true lesions are measured; null: they are not. */
  readonly organOfTumor: Readonly<Record<string, number>> | null
}

/** One case's measures; the form of python_runtime/freetumor_runtime/evaluation/case_metrics.py. */
export type MeasuredCase = Readonly<Record<string, unknown>>

/** Settings for pictures of three planes, for the pages of a report. */
export interface PictureSpec {
  readonly job: 'picture'
  readonly workers: number
  readonly tumorLabels: readonly number[]
  readonly windowHu: readonly [number, number]
  readonly predictionMap: Readonly<Record<string, number>> | null
  readonly labelMap: Readonly<Record<string, number>> | null
  /** Ids of the label files whose voxels count in no figure. */
  readonly ignoredIds: readonly number[]
  readonly cases: readonly {
    readonly id: string
    readonly prediction: string
    readonly label: string
    /** Mask of the same case by another segmentor. */
    readonly against: string | null
    readonly image: string | null
    readonly organ: string | null
    /** JSON file to write. */
    readonly output: string
    /** Probability files for the operating point. */
    readonly scores: readonly string[]
  }[]
  readonly operatingPoint: OperatingPointSpec | null
}

export interface PicturedCase {
  readonly output: string
}
