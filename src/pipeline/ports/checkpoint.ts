/** Content of a checkpoint file; mirrors python_runtime/freetumor_runtime/checkpoints/inspection.py. */
export interface CheckpointFacts {
  readonly path: string
  readonly format: 'pt' | 'safetensors'
  /** A baseline is a segmentor of a whole region (7 or 2 outputs); voco a SwinUNETR without its head. */
  readonly kind: 'generator' | 'baseline' | 'segmentor' | 'voco' | 'unknown'
  readonly networks: readonly NetworkFacts[]
  /** Order null: there is none, or it must be told (`needed`). */
  readonly patchMerging: {
    readonly order: 'legacy' | 'corrected' | 'v2' | null
    readonly assumed: boolean
    readonly needed: boolean
  }
  /** Mode null: no generator. `untouchedOutputs` of it look as if they never learned. */
  readonly channelMode: {
    readonly mode: 'organ' | 'shared' | null
    readonly assumed: boolean
    readonly untouchedOutputs: readonly number[]
  }
  /** The keys that the weights lie under, with dots; null: they are the file itself. */
  readonly wrapper: string | null
  /** Dropped from the names of tensors. */
  readonly prefixes: readonly string[]
  /** Parts of names of tensors that are read as others. */
  readonly renamed: Readonly<Record<string, string>>
  /** Entries that are not read, with their types. */
  readonly skipped: readonly string[]
  readonly epoch: unknown
  /** Plain values beside the weights. */
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
  /** `netG`, `netD`, `netSeg` of a synthesis checkpoint; else `network`. */
  readonly name: string
  readonly architecture: 'unet3d' | 'swinunetr' | 'small' | null
  /** Base channels or feature size. */
  readonly width: number | null
  readonly outputs: number | null
  readonly tumorOutputs: readonly number[] | null
  /** The network of another project that an unknown one is, with its article. */
  readonly family: string | null
  /** Reasons for missing tensors and other shapes, as far as they are known. */
  readonly causes: readonly string[]
  /** Numbers of keys, against a network of the size that the tensors ask for. */
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
  /** The same counts against the published size of the architecture; against both where none is known. */
  readonly against: Readonly<
    Record<string, { readonly matched: number; readonly missing: number; readonly unexpected: number }>
  >
  /** Tensors with a NaN or an infinity. */
  readonly notFinite: readonly string[]
}
