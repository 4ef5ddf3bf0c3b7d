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

/** Settings that are left out are those of the profile; without a profile those of docs/method.md 11 on the original grid. */
export interface PredictInputs extends Partial<PredictSettings>, Partial<Preparation> {
  /** One file, or the members of an ensemble: the mean of their probabilities. */
  readonly checkpoint: string | readonly string[]
  /** Folder of `.nii` or `.nii.gz` scans, one scan, or a list (decathlon `.json`, or `.txt` with a path a line). */
  readonly images: string
  /** Split of a list that has several. */
  readonly split?: Split | undefined
  /** A list may name files outside its own folder; default false. */
  readonly allowOutside?: boolean | undefined
  readonly out: string
  readonly profile?: PredictProfile | undefined
  /** Patch-merging order where a file does not say it. `windowHu`, `spacingMm`, `patchVoxels` likewise. */
  readonly patchMerging?: string | undefined
  /** Name of one of several sets of weights in the files: `student`, `teacher`, `ema`, or a key of the file. */
  readonly weights?: string | undefined
  /** Label maps on the grids of the scans, under their names: a tumor outside the organ becomes background. */
  readonly organMasks?: string | undefined
  /** Ids that are the organ in them; default every id but 0. */
  readonly organIds?: readonly number[] | undefined
  /** Labels under the names of the scans: brought to the prepared grid beside the masks, as `labels/`. */
  readonly labels?: string | undefined
  /** Outputs whose probabilities are written, by number or by the name in the checkpoint. Default: none. */
  readonly probabilities?: readonly (number | string)[] | 'all' | undefined
  /** Makes masks anew that are there. */
  readonly overwrite?: boolean | undefined
  readonly device?: RuntimeSection['device'] | undefined
  /** Ranks that share the cases; on GPUs one each. */
  readonly processes?: number | undefined
  readonly threadsPerProcess?: number | undefined
}

const SETTING_KEYS = Object.keys(predictSettings(null)) as (keyof PredictSettings)[]

/**
 * The settings of the profile with those of the options over them.
 * @throws UsageError for options that do not go together
 */
export function predictSettingsOf(options: PredictInputs): PredictSettings {
  const given = SETTING_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]])
  const settings = { ...predictSettings(options.profile ?? null), ...Object.fromEntries(given) }
  if (options.labels !== undefined && settings.grid !== 'prepared')
    throw new UsageError('--labels are brought to the prepared grid', {
      hint: 'it goes with --grid prepared',
    })
  return settings
}

/** The preparation that options and profile state, for files that do not state theirs. */
export function statedPreparation(options: PredictInputs): Partial<Preparation> {
  const { windowHu, patchVoxels, profile = null } = options
  const spacingMm = options.spacingMm ?? spacingOfProfile(profile)
  return {
    ...(windowHu ? { windowHu } : {}),
    ...(patchVoxels ? { patchVoxels } : {}),
    ...(spacingMm ? { spacingMm } : {}),
  }
}
