import type { OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { Verdict } from './judge.js'

/** One line of a training's `ledger.jsonl`: an attempt to make a tumor, and what became of it. */
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

/** One line of an offline synthesis' `ledger.jsonl`: one try of one tumor of one variant of a case. */
export interface SynthesisLine {
  readonly case: string
  /** SHA-256 of the host's image file; null until a variant of the case was written. */
  readonly host: string | null
  readonly variant: number
  readonly tumor: number
  readonly attempt: number
  /** Tries of a variant with the same number were judged together, from 0. */
  readonly round: number
  readonly organ: OrganName
  readonly size: string
  readonly seed: number
  /** With the seed, the key of this try's random numbers: the same numbers make the same tumor again. */
  readonly k: readonly (string | number)[]
  /** In voxels of the prepared case; null where no place was found. */
  readonly plan: {
    readonly centre: Vec3
    readonly radii: Vec3
    readonly boxOrigin: Vec3
    readonly boxShape: Vec3
    readonly edgeSigma: number
    readonly textureIndex: number
    readonly textureStart: Vec3
    readonly handcraftedDifference: number
  } | null
  /** SHA-256 of the files that painted and judged. */
  readonly checkpoints: { readonly generator: string | null; readonly baseline: string | null }
  readonly verdict: 'accepted' | 'rejected' | 'noRoom'
  readonly reason: string
  /** Where no baseline looked, without what it would have seen. */
  readonly measures: Readonly<Partial<Verdict['measures']>>
  /** Of the synthetic scan that holds an accepted tumor, below `imagesTr/`. */
  readonly file?: string
  /** True on the last line of a variant: all before it are whole. */
  readonly last?: true
  /** When the variant was done, ISO 8601. */
  readonly time: string
}
