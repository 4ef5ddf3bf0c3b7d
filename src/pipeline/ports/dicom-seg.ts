/** A segment of a DICOM SEG; mirrors `segments` of freetumor_runtime/dicom/segmentation.py. */
export interface SegSegment {
  /** Id in the label map. */
  readonly id: number
  readonly name: string
  readonly kind: 'organ' | 'tumor' | 'lesion'
  /** Null for a tumor of an unknown organ. */
  readonly organ: 'liver' | 'pancreas' | 'kidney' | 'lung' | null
  /** An id outside the label map, for voxels where a tumor was painted; null without a map of changes. */
  readonly synthetic: number | null
}

export interface SegJob {
  /** Place of the job; the outcome repeats it. */
  readonly job: number
  /** Label map (NIfTI). */
  readonly mask: string
  /** Scan that must have the pixels of the series; null: they are not compared. */
  readonly image: string | null
  /** Map of the voxels that a synthesis changed, or null. */
  readonly change: string | null
  /** File to write. */
  readonly target: string
  readonly segments: readonly SegSegment[]
}

export interface SegRequest {
  /** Folder of the CT series. */
  readonly folder: string
  readonly jobs: readonly SegJob[]
}

export interface WrittenSeg {
  readonly job: number
  readonly seconds: number
  /** Slices of the series. */
  readonly slices: number
  /** Images in the SEG: one per segment and slice with voxels. */
  readonly frames: number
  /** Empty if the label map is; then no file is written. */
  readonly segments: readonly { readonly name: string; readonly voxels: number }[]
  /** The scan has the pixels of the series. */
  readonly compared: boolean
  /** The file of an earlier call has the same content. */
  readonly reused: boolean
}

export type SegOutcome =
  | WrittenSeg
  | {
      readonly job: number
      readonly refusal: { readonly code: string; readonly reason: string; readonly hint: string }
    }

/** Writer of DICOM SEG; src/runtime/dicom.ts implements it with highdicom. */
export interface SegWriter {
  /**
   * Write the SEG of each label map. A label map without its series is an outcome with `refusal`.
   * @throws EnvironmentError if the runtime lacks the packages, DataError for a folder without a CT series
   */
  segment(
    request: SegRequest,
    options: { readonly signal?: AbortSignal | undefined },
  ): AsyncIterable<SegOutcome>
}
