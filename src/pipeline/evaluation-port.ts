import type { Vec3 } from '../volume/volume.js'

/** What the stage of evaluation needs of a runtime; mirrors python_runtime/freetumor_runtime/config.py word by word. */
export interface EvaluateSpec {
  readonly job: 'evaluate'
  readonly workers: number
  readonly labels: readonly number[]
  readonly tumorLabels: readonly number[]
  /** Empty: no surface measure. */
  readonly nsdTolerancesMm: readonly number[]
  readonly lesions: boolean
  /** Resample masks to this spacing first (nearest); null keeps their grid. */
  readonly spacingMm: Vec3 | null
  /** Source id -> id that is measured; null: the files have those. An id outside the map fails its case. */
  readonly predictionMap: Readonly<Record<string, number>> | null
  readonly labelMap: Readonly<Record<string, number>> | null
  readonly cases: readonly {
    readonly id: string
    readonly prediction: string
    readonly label: string
    /** Predicted tumor outside this mask is taken away. */
    readonly organ: string | null
    /** Probabilities whose sum lesions are scored by; none: they are not. */
    readonly scores: readonly string[]
  }[]
}

/** Three planes of pairs, for the pages of a report. */
export interface PictureSpec {
  readonly job: 'picture'
  readonly workers: number
  readonly tumorLabels: readonly number[]
  readonly windowHu: readonly [number, number]
  readonly predictionMap: Readonly<Record<string, number>> | null
  readonly labelMap: Readonly<Record<string, number>> | null
  readonly cases: readonly {
    readonly id: string
    readonly prediction: string
    readonly label: string
    readonly image: string | null
    readonly organ: string | null
    /** JSON file to write. */
    readonly output: string
  }[]
}

export interface PicturedCase {
  readonly output: string
}

/** One case's measures; the form of python_runtime/freetumor_runtime/evaluation/case_metrics.py. */
export type MeasuredCase = Readonly<Record<string, unknown>>
