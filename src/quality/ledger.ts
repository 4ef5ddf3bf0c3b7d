import type { OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { Verdict } from './judge.js'

/** One line of the `ledger.jsonl` of a training: one attempt with its outcome. */
export interface LedgerLine {
  readonly step: number
  readonly item: number
  readonly crop: number
  readonly case: string
  readonly organ?: OrganName
  readonly size?: string
  readonly draw?: number
  /** `recorded`: measured but not judged, as in synthesis training. */
  readonly verdict: 'accepted' | 'rejected' | 'recorded' | 'noRoom'
  readonly reason: string
  readonly measures?: Verdict['measures']
}

/** A plug-in by its own statements, and the SHA-256 of its program file, if it has one. */
export interface LedgerPlugin {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly sha256: string | null
}

/**
 * One line of the `ledger.jsonl` of an offline synthesis: one attempt of one tumor of one variant of a case.
 */
export interface SynthesisLine {
  readonly case: string
  /** SHA-256 of the host's image file; null until a variant of the case is written. */
  readonly host: string | null
  readonly variant: number
  readonly tumor: number
  readonly attempt: number
  /** Attempts of a variant with the same number were judged together. Counts from 0. */
  readonly round: number
  readonly organ: OrganName
  readonly size: string
  /** `shrunk`: a smaller copy of a real tumor. Missing: a painted tumor. */
  readonly method?: 'shrunk'
  readonly seed: number
  /** With the seed, the key of the random numbers of this attempt: equal keys give equal tumors. */
  readonly k: readonly (string | number)[]
  /** In voxels of the prepared case; null without a place. */
  readonly plan: {
    readonly centre: Vec3
    readonly radii: Vec3
    readonly boxOrigin: Vec3
    readonly boxShape: Vec3
    /** Centre of the box in physical space; missing in ledgers of earlier versions. */
    readonly centreMm?: Vec3
    readonly edgeSigma: number
    readonly textureIndex: number
    readonly textureStart: Vec3
    readonly handcraftedDifference: number
    /** Depth and contrast that `simulation.curriculum` aimed at; missing without any. */
    readonly aimed?: {
      /** `reached` false: no voxel of this depth was found. */
      readonly depth?: { readonly fromMm: number; readonly toMm: number; readonly reached: boolean }
      readonly contrastHu?: number
    }
  } | null
  /** The real tumor of a copy; missing for painted tumors, and without a place. */
  readonly source?: {
    readonly case: string
    /** Number among the components of its id in the prepared case, from 0 in the order of their first voxels. */
    readonly component: number
    readonly centreMm: Vec3
    /** Diameter of a ball of equal volume; that of the copy is `factor` times it. */
    readonly diameterMm: number
    readonly factor: number
  }
  /** SHA-256 of the generator and of the baseline; null without one. */
  readonly checkpoints: {
    readonly generator: string | null
    readonly baseline: string | null
    /** Plug-ins that were used instead; missing without any. */
    readonly plugins?: Partial<Readonly<Record<'generator' | 'baseline', LedgerPlugin>>>
  }
  readonly verdict: 'accepted' | 'rejected' | 'noRoom'
  readonly reason: string
  /** Without a baseline, the counts of voxels that it would detect are missing. */
  readonly measures: Readonly<Partial<Verdict['measures']>>
  /** The joint decision of reviewers that applied to this attempt; it precedes the rule. */
  readonly review?: 'accept' | 'reject'
  /** The synthetic scan with an accepted tumor, below `imagesTr/`. */
  readonly file?: string
  /** A scan with this rejected tumor alone, below `rejected/imagesTr/`. */
  readonly rejectedFile?: string
  /** SHA-256 of `file` or `rejectedFile`; missing in data sets of version 0.1. */
  readonly sha256?: string
  /** True on the last line of a variant; all earlier lines of it are complete. */
  readonly last?: true
  /** Time at which the variant was finished, ISO 8601. */
  readonly time: string
}
