import type { LabelIdMap } from '../../curation/datasets/registry.js'
import type { Vec3 } from '../../volume/volume.js'

/** The segmentor whose encoder describes patches around tumors, and the preparation that it needs. */
export interface EncoderSpec {
  readonly checkpoint: string
  readonly sha256: string
  readonly patchMerging: string | null
  /** Name of one of several sets of weights in the file; null: the only one. */
  readonly weights: string | null
  readonly windowHu: readonly [number, number]
  readonly spacingMm: Vec3
  readonly patchVoxels: Vec3
}

/** Measures of the tumors of cases; mirrors python_runtime/freetumor_runtime/config/realism.py field by field. */
export interface RealismSpec {
  readonly job: 'realism'
  readonly workers: number
  /** Folder of the measures, one file per case. */
  readonly directory: string
  /** Spacing of the isotropic grid. */
  readonly spacingMm: number
  /** Null: no features of an encoder. */
  readonly encoder: EncoderSpec | null
  readonly cases: readonly {
    readonly id: string
    readonly image: string
    readonly label: string
    /** Source id -> id of the region; null: the file has those. */
    readonly labelMap: LabelIdMap | null
    readonly organs: readonly { readonly name: string; readonly label: number; readonly tumorLabel: number }[]
    /** Label map with the number of each synthetic tumor; null: connected tumors. */
    readonly numbers: string | null
    /** Scan of the same grid that the tumors were painted into. */
    readonly host: string | null
  }[]
}

/** A tumor that was measured. */
export interface MeasuredTumor {
  readonly tumor: number
  readonly organ: string
  readonly volumeMl: number
  readonly diameterMm: number
}

export interface MeasuredTumors {
  readonly file: string
  readonly tumors: readonly MeasuredTumor[]
  /** The file of an earlier start was used. */
  readonly reused: boolean
}

/** A class of diameters. */
export interface TumorSizeClass {
  readonly name: string
  readonly fromMm: number
  /** Null: no upper end. */
  readonly toMm: number | null
}

/** Comparison of measured tumors, group by group. */
export interface CompareTumorsSpec {
  readonly job: 'compare-tumors'
  readonly workers: number
  readonly seed: number
  readonly permutations: number
  readonly resamples: number
  /** Tumors and patients that each side must have. */
  readonly minTumors: number
  readonly minPatients: number
  /** The files hold features of an encoder. */
  readonly encoder: boolean
  readonly sizes: readonly TumorSizeClass[]
  readonly files: readonly {
    readonly caseId: string
    /** That of the host for a synthetic case. */
    readonly patient: string
    readonly parent: string | null
    readonly synthetic: boolean
    readonly file: string
  }[]
  readonly cases: readonly {
    readonly id: string
    /** `copies`: the search for copies instead of figures. */
    readonly kind: 'group' | 'copies'
    readonly organ: string
    readonly size: string
  }[]
}

/** Numbers of tumors and patients of both sides. */
export interface TumorCounts {
  readonly synthetic: number
  readonly real: number
  readonly syntheticPatients: number
  readonly realPatients: number
  /** Patients with tumors on both sides; each gives those of one side. */
  readonly patientsOfBothSides: number
}

export interface GroupFigure {
  readonly name: string
  readonly value: number | null
  readonly ci: readonly [low: number, high: number] | null
  readonly p: number | null
  /** The figure after exchanges of patients between the sides. */
  readonly null: { readonly mean: number; readonly p95: number } | null
}

/** Mean and spread of a feature over the tumors of a side. */
export interface FeatureSide {
  readonly mean: number
  readonly sd: number
  readonly n: number
}

export interface FeatureRow {
  readonly name: string
  readonly real: FeatureSide
  readonly synthetic: FeatureSide
  /** Wasserstein-1 distance in standard deviations of the reals. */
  readonly distance: number
}

export interface ComparedTumors {
  readonly n: TumorCounts
  /** Null: too few tumors or patients. */
  readonly measures: readonly GroupFigure[] | null
  readonly features: readonly FeatureRow[]
}

/** Similarity and lead above which a tumor of a size counts as a copy of a real one. */
export interface CopyThreshold {
  readonly size: string
  /** Null: too few real tumors. */
  readonly threshold: number | null
  /** Lead above which a tumor counts as a copy, too. */
  readonly leadThreshold: number | null
  /** Real tumors that it comes from. */
  readonly reals: number
  /** The size has too few, so they are of all sizes. */
  readonly ofAllSizes: boolean
  /** Similarity of a real tumor to the nearest one of another patient, in the middle. */
  readonly median: number | null
  readonly realsAbove: number
}

/** The nearest real tumor and host patch of a synthetic tumor. */
export interface NearestTumor {
  readonly case: string
  readonly tumor: number
  readonly organ: string
  readonly size: string
  readonly diameterMm: number
  /** Null: the tumor has no texture, or there is no real tumor. */
  readonly real: {
    readonly case: string
    readonly tumor: number
    readonly similarity: number
    /** Distance to the similarity of the second nearest, in Fisher's z. */
    readonly lead: number
    /** Similarity or lead is above its threshold; null without thresholds. */
    readonly copy: boolean | null
  } | null
  /** Null without host scans. */
  readonly host: {
    readonly case: string | null
    readonly similarity: number
    /** It is the scan that the tumor was painted into. */
    readonly own: boolean
  } | null
}

export interface FoundCopies {
  readonly thresholds: readonly CopyThreshold[]
  readonly nearest: readonly NearestTumor[]
}
