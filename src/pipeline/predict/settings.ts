import {
  type PredictProfile,
  type PredictSettings,
  predictSettings,
  spacingOfProfile,
} from '../../config/predict-settings.js'
import type { Preparation } from '../../config/preparation.js'
import type { RuntimeSection } from '../../config/sections/runtime.js'
import type { Split } from '../../curation/datasets/lists.js'
import { UsageError } from '../../errors.js'
import type { MergingOrder } from '../ports/checkpoint.js'
import type { PluginSpec } from '../ports/plugin.js'

/** Missing settings are those of the profile; without a profile, those of docs/method.md 11 on the original grid. */
export interface PredictInputs extends Partial<PredictSettings>, Partial<Preparation> {
  /** One file, or the members of an ensemble, whose probabilities are averaged. */
  readonly checkpoint?: string | readonly string[] | undefined
  /** Program that segments instead of a checkpoint. */
  readonly plugin?: PluginSpec | undefined
  /** Folder of `.nii`, `.nii.gz` or `.hdr` scans, one scan, or a list (decathlon `.json`, or `.txt` with one path per line). */
  readonly images: string
  /** Split to predict; needed for a list with several. */
  readonly split?: Split | undefined
  /** Allow a list to name files outside its own folder. Default: false. */
  readonly allowOutside?: boolean | undefined
  readonly out: string
  readonly profile?: PredictProfile | undefined
  /** Patch-merging order for a file that does not state it; likewise `windowHu`, `spacingMm`, `patchVoxels`. */
  readonly patchMerging?: MergingOrder | undefined
  /** Name of one of several sets of weights in the files: `student`, `teacher`, `ema`, or a key of the file. */
  readonly weights?: string | undefined
  /** Label maps on the grids of the scans, under their names: a tumor outside the organ becomes background. */
  readonly organMasks?: string | undefined
  /** Ids of the organ in `organMasks`. Default: every id but 0. */
  readonly organIds?: readonly number[] | undefined
  /** Labels under the names of the scans. They are resampled to the prepared grid and written to `labels/`. */
  readonly labels?: string | undefined
  /** Outputs whose probabilities are written, by number or by the name in the checkpoint. Default: none. */
  readonly probabilities?: readonly (number | string)[] | 'all' | undefined
  /** File of `freetumor calibrate --rate`: predicted lesions below its threshold are removed. */
  readonly operatingPoint?: string | undefined
  /** Checkpoint of a coarser spacing that chooses the sliding windows of `windows: organs` and `coarse`. Default: the segmentor. */
  readonly glance?: string | undefined
  /** Overwrite existing masks. */
  readonly overwrite?: boolean | undefined
  readonly device?: RuntimeSection['device'] | undefined
  /** Number of ranks that share the cases; on GPUs, one rank per GPU. */
  readonly processes?: number | undefined
  readonly threadsPerProcess?: number | undefined
}

/** Sliding windows of the validation of a run, or of an nnU-Net, which states its mirror axes too. */
export type RunWindows = Pick<PredictSettings, 'overlap' | 'blend'> &
  Partial<Pick<PredictSettings, 'mirrorAxes'>>

const SETTING_KEYS = Object.keys(predictSettings(null)) as (keyof PredictSettings)[]

/**
 * Return the settings of the profile, overridden by the options. Without a profile, overlap and blending are those of the
 * checkpoint's run.
 * @param ofRun overlap and blending of the run that trained the weights; null if the files do not state them
 * @throws UsageError for options that contradict each other
 */
export function predictSettingsOf(options: PredictInputs, ofRun: RunWindows | null): PredictSettings {
  const given = SETTING_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]])
  const published = predictSettings(options.profile ?? null)
  const ofWeights = options.profile === undefined ? ofRun : null
  const settings = { ...published, ...ofWeights, ...Object.fromEntries(given) }
  if (options.labels !== undefined && settings.grid !== 'prepared')
    throw new UsageError('--labels: needs the prepared grid', {
      hint: 'pass --grid prepared too, or omit --labels',
    })
  return settings
}

/** Return the preparation that options and profile state, for files that do not state theirs. */
export function statedPreparation(options: PredictInputs): Partial<Preparation> {
  const { windowHu, patchVoxels, profile = null } = options
  const spacingMm = options.spacingMm ?? spacingOfProfile(profile)
  return {
    ...(windowHu ? { windowHu } : {}),
    ...(patchVoxels ? { patchVoxels } : {}),
    ...(spacingMm ? { spacingMm } : {}),
  }
}
