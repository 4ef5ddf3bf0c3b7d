/** Order of the patches that a SwinUNETR merges (docs/method.md#8-networks-and-checkpoints). */
export type MergingOrder = 'legacy' | 'corrected' | 'v2'

/** Licence of weights that a network uses or started from, or of a plug-in. */
export interface WeightsLicence {
  readonly network: 'segmentor' | 'baseline' | 'generator'
  /** Name of the file, without its folder; of a plug-in: `plug-in NAME VERSION`. */
  readonly file: string
  /** Hash of the file, or of the program of a plug-in; null for a plug-in without a program file. */
  readonly sha256: string | null
  /** Null: the licence of these weights of another project is not stated. */
  readonly licence: string | null
}

/** Content of a checkpoint file; mirrors python_runtime/freetumor_runtime/checkpoints/inspection.py. */
export interface CheckpointFacts {
  readonly path: string
  /** `nnunet`: a model folder with one network for each fold. */
  readonly format: 'pt' | 'safetensors' | 'nnunet'
  /** `baseline`: a segmentor of a whole region (7 or 2 outputs). `voco`: a SwinUNETR without its head. */
  readonly kind: 'generator' | 'baseline' | 'segmentor' | 'voco' | 'unknown'
  readonly networks: readonly NetworkFacts[]
  /** `order` is null if the network has none, or if the user must state it (`needed`). */
  readonly patchMerging: {
    readonly order: 'legacy' | 'corrected' | 'v2' | null
    readonly assumed: boolean
    readonly needed: boolean
  }
  /** `mode` is null without a generator. Its `untouchedOutputs` look untrained. */
  readonly channelMode: {
    readonly mode: 'organ' | 'shared' | null
    readonly assumed: boolean
    readonly untouchedOutputs: readonly number[]
  }
  /** Keys of the weights in the file, joined by dots; null if the file is the weights themselves. */
  readonly wrapper: string | null
  /** Dropped from the names of tensors. */
  readonly prefixes: readonly string[]
  /** Parts of names of tensors that are read as others. */
  readonly renamed: Readonly<Record<string, string>>
  /** Entries that are not read, with their types. */
  readonly skipped: readonly string[]
  readonly epoch: unknown
  /** Plain values next to the weights. */
  readonly training: Readonly<Record<string, unknown>>
  /** Metadata of a file that freetumor wrote. */
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly tensors: {
    readonly count: number
    readonly values: number
    readonly bytes: number
    readonly dtypes: Readonly<Record<string, number>>
    readonly shapes: Readonly<Record<string, readonly number[]>>
  }
  readonly bytes: number
  readonly sha256: string
  /** Proof that the content is complete: a recorded hash, the checksums of the archive, or none. */
  readonly verifiedBy: 'sha256' | 'crc32' | 'nothing'
}

export interface NetworkFacts {
  /** `netG`, `netD`, `netSeg` of a synthesis checkpoint; `fold_0`, ... of an nnU-Net; else `network`. */
  readonly name: string
  readonly architecture: 'unet3d' | 'swinunetr' | 'resenc' | 'unet' | 'small' | null
  /** Base channels or feature size. */
  readonly width: number | null
  readonly outputs: number | null
  readonly tumorOutputs: readonly number[] | null
  /** The network of another project that an unknown one is, with its article. */
  readonly family: string | null
  /** Reasons for missing tensors and other shapes, as far as they are known. */
  readonly causes: readonly string[]
  /** Number of keys that match a network of the size that the tensors indicate. */
  readonly matched: number
  readonly missing: number
  readonly unexpected: number
  readonly missingKeys: readonly string[]
  readonly unexpectedKeys: readonly string[]
  readonly otherShapes: readonly {
    readonly key: string
    readonly shape: readonly number[]
    readonly expected: readonly number[]
  }[]
  /** The same counts for the published size of the architecture; for both architectures if none is recognised. */
  readonly against: Readonly<
    Record<string, { readonly matched: number; readonly missing: number; readonly unexpected: number }>
  >
  /** Tensors with a NaN or an infinity. */
  readonly notFinite: readonly string[]
}
