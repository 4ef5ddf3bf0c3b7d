import type { Region } from '../../volume/labels.js'

export interface ReaderStudySettings {
  /** Data set of real tumors, in any layout that `data check` reads. */
  readonly real: string
  /** Data set of synthetic tumors. */
  readonly synthetic: string
  /** Folder of the study; it must not exist. */
  readonly out: string
  /** Number of cases, half of them real. Default: 90. */
  readonly cases?: number | undefined
  /** Default: all organs of the region. */
  readonly organs?: readonly string[] | undefined
  /** Default: 0. */
  readonly seed?: number | undefined
  /** Cases that each reader sees twice; an even number. Default: a tenth of the cases. */
  readonly repeats?: number | undefined
  /** Training examples with known truth; an even number. Default: 4. */
  readonly examples?: number | undefined
  /** Seconds for each case. Default: no limit. */
  readonly timeLimitSeconds?: number | undefined
  /** Longest side of a crop in mm. Default: 128; less if the scans are smaller. */
  readonly cropMm?: number | undefined
  /** Distance of voxels in mm. Default: 1. */
  readonly spacingMm?: number | undefined
  /** CSV with the group of each case or patient, or `none`: cases are not matched. Default: the data sets. */
  readonly groups?: string | undefined
  readonly region?: Region | undefined
  /** Map of label ids; see `data check`. */
  readonly map?: string | undefined
  /** Relative paths start here. Default: the working directory. */
  readonly cwd?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onNote?: ((text: string, level: 'info' | 'warning') => void) | undefined
}
