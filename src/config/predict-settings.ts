/** Settings of the prediction of whole scans, without those that a checkpoint states (intensity window, spacing, patch). */
export interface PredictSettings {
  /** Share that neighbouring windows have in common along an axis. */
  readonly overlap: number
  readonly blend: 'constant' | 'gaussian'
  /** Windows per batch on a GPU. A CPU computes them one by one, which is faster. */
  readonly windowBatch: number
  /**
   * `all` windows, or those whose core is near a finding of a cheap first look: `coarse` looks for outputs that the mask
   * keeps, `organs` for any output. Elsewhere the mask is background.
   */
  readonly windows: 'all' | 'organs' | 'coarse'
  /** Axes of the prepared grid (0 left-right, 1 front-back, 2 down-up) that windows are mirrored along; averaged over all ways. */
  readonly mirrorAxes: readonly (0 | 1 | 2)[]
  readonly precision: 'fp32' | 'bf16' | 'fp16'
  readonly grid: 'original' | 'prepared'
  /** To the original grid: the mask by nearest neighbour, or the logits linearly, then argmax. */
  readonly resampling: 'nearest' | 'linear'
  /** Grid, windows and resampling of freetumor, or those of nnunetv2 (for `resenc` and `unet`). */
  readonly method: 'freetumor' | 'nnunet'
  /** Crop to what lies above the window's lower end before anything else. */
  readonly cropForeground: boolean
  /** Padding of a scan that is smaller than a patch: the lower end of the intensity window, or the minimum of the scan in it. */
  readonly padding: 'lowerEnd' | 'minimum'
  /** Windows with a smaller share of voxels above the window's lower end are left out, as background. */
  readonly minForeground: number
  /** Data type of masks; `scan`: that of their scan. */
  readonly dataType: 'uint8' | 'scan'
  /**
   * Output of the checkpoint -> id in the mask; a key may be the name of an output. Other outputs keep their number.
   * `leaderboard`: tumors become 1, all else 0.
   */
  readonly map: 'leaderboard' | Readonly<Record<string, number>> | null
}

export const PREDICT_PROFILES = ['voco', 'freetumor', 'difftumor', 'leaderboard', 'nnunet'] as const
export type PredictProfile = (typeof PREDICT_PROFILES)[number]

const PUBLISHED: PredictSettings = {
  overlap: 0.75,
  blend: 'constant',
  windowBatch: 4,
  windows: 'all',
  mirrorAxes: [],
  precision: 'fp32',
  grid: 'original',
  resampling: 'nearest',
  method: 'freetumor',
  cropForeground: true,
  padding: 'lowerEnd',
  minForeground: 0,
  dataType: 'uint8',
  map: null,
}

const CHANGES: Readonly<Record<PredictProfile, Partial<PredictSettings>>> = {
  voco: { grid: 'prepared' },
  freetumor: { grid: 'prepared' },
  difftumor: {
    blend: 'gaussian',
    windowBatch: 1,
    resampling: 'linear',
    cropForeground: false,
    padding: 'minimum',
  },
  leaderboard: { map: 'leaderboard' },
  nnunet: { overlap: 0.5, blend: 'gaussian', windowBatch: 1, method: 'nnunet' },
}

/**
 * Return the settings of a published evaluation (docs/method.md#11-prediction-and-evaluation). Without a profile, masks are on
 * the original grid and keep all ids.
 */
export function predictSettings(profile: PredictProfile | null): PredictSettings {
  return profile === null ? PUBLISHED : { ...PUBLISHED, ...CHANGES[profile] }
}

/** Return the spacing of a profile in mm, for checkpoints that state none. */
export function spacingOfProfile(profile: PredictProfile | null): readonly [number, number, number] | null {
  return profile === 'difftumor' ? [1, 1, 1] : null
}
