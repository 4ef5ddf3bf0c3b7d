import type { Preparation } from '../../config/preparation.js'
import type { MergingOrder } from './checkpoint.js'

/** Formats that weights are exported to. */
export type ModelFormat = 'nnunet' | 'safetensors' | 'onnx' | 'monai-bundle' | 'torchscript'

/** Preparation of scans for a network, and names of its outputs, for a file that does not state them. */
export interface ExportPreparation extends Preparation {
  readonly region: string
  /** Taken if there are as many as outputs. */
  readonly labelNames: readonly string[]
}

/** An export of weights; mirrors the arguments of python_runtime/freetumor_runtime/checkpoints/export.py. */
export interface ExportSpec {
  readonly checkpoint: string
  readonly to: ModelFormat
  /** An empty folder. */
  readonly out: string
  /** Plain facts that the files state: origin and licences. */
  readonly about: Readonly<Record<string, unknown>>
  /** Patch-merging order of a file that does not state it. */
  readonly merging: MergingOrder | null
  readonly preparation: ExportPreparation | null
}

export interface ExportedFiles {
  /** Kind of the network; null if the file was only rewritten. */
  readonly kind: string | null
  readonly tensors: number
  /** Largest difference between logits of the export and of the checkpoint, on noise; null if not computed. */
  readonly deviation: number | null
  /** Name in the folder -> SHA-256. */
  readonly files: Readonly<Record<string, string>>
}
