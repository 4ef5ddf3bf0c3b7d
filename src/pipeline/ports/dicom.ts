import type { DicomRefusal, ScannedSeries, ScannedVolume } from '../../curation/dicom/series.js'

/** Reader and converter of DICOM series; src/runtime/dicom.ts implements it with pydicom and dcm2niix. */
export interface DicomReader {
  /**
   * Read the headers of all files below a folder.
   * @throws EnvironmentError if the runtime lacks the packages; RuntimeCrashError if the reader ended
   */
  scan(request: DicomScanRequest, options: DicomCallOptions): Promise<DicomScan>
  /** Convert series one after another. A series that fails is an outcome with `refusal`. */
  convert(request: DicomConvertRequest, options: DicomCallOptions): AsyncIterable<DicomOutcome>
}

export interface DicomCallOptions {
  readonly signal?: AbortSignal | undefined
  /** Called every second of a scan with the number of files that were looked at. */
  readonly onFiles?: ((files: number) => void) | undefined
}

export interface DicomScanRequest {
  readonly folder: string
  /** Folder below it that is not read: the output. */
  readonly without: string | null
}

export interface DicomScan {
  /** In the order of study, number and UID. */
  readonly series: readonly ScannedSeries[]
  /** DICOM files that were read. */
  readonly files: number
  /** Files of other formats. */
  readonly others: number
  /** Symbolic links to folders, which are not followed. */
  readonly links: number
  /** Damaged DICOM files: place among the files in the order of their paths, and the reason. */
  readonly unreadable: readonly { readonly file: number; readonly reason: string }[]
}

export interface DicomConvertRequest {
  /** Folder for temporary files. */
  readonly work: string
  readonly jobs: readonly DicomJob[]
}

export interface DicomJob extends Pick<ScannedVolume, 'paths' | 'shape' | 'lps' | 'rescale' | 'frames'> {
  /** Place of the job; the outcome repeats it. */
  readonly job: number
  /** NIfTI file to write; null: it exists. */
  readonly image: string | null
  readonly labels: {
    readonly path: string
    readonly target: string
    /** Number of a segment -> label id. */
    readonly ids: Readonly<Record<string, number>>
    /** Label ids; a later one wins where two overlap. */
    readonly order: readonly number[]
  } | null
}

export type DicomOutcome =
  | {
      readonly job: number
      readonly seconds: number
      readonly hu: { readonly low: number; readonly high: number; readonly dtype: string } | null
      /** Voxels of each segment, by its number. */
      readonly voxels: Readonly<Record<string, number>>
      readonly notes: readonly string[]
      /** Why the label object gave no label map; the image is complete. */
      readonly labelRefusal: DicomRefusal | null
    }
  | { readonly job: number; readonly refusal: DicomRefusal & { readonly hint: string } }
