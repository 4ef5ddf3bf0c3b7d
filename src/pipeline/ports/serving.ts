import type { PlannedTumor } from '../../sampling/sampling-plan.js'
import type { Organ, Region } from '../../volume/labels.js'
import type { Affine, Vec3 } from '../../volume/volume.js'
import type { BaselineSpec, SlidingWindowsSpec } from './common.js'
import type { AttemptMeasures } from './synthesis.js'

/** Everything a warm runtime needs; mirrors python_runtime/freetumor_runtime/config/serving.py. */
export interface ServeSpec {
  readonly job: 'serve'
  readonly region: Region
  readonly organs: readonly Organ[]
  readonly windowHu: readonly [number, number]
  readonly spacingMm: Vec3
  readonly patchVoxels: Vec3
  readonly generator: {
    readonly checkpoint: string
    readonly channel: 'organ' | 'shared'
    readonly weights: string | null
  } | null
  readonly generatorWindows: { readonly overlap: number; readonly windowBatch: number }
  readonly baseline: BaselineSpec | null
  readonly segmentPatchVoxels: Vec3
  readonly segmentWindows: SlidingWindowsSpec
  readonly judgeOverlap: number
  readonly judgeWindowBatch: number
  readonly measureAlreadySeen: boolean
  readonly measures: readonly string[]
  readonly textureSizeVoxels: Vec3
  readonly textureDirectory: string
  readonly textureSeed: number
  readonly device: 'auto' | 'cpu' | 'cuda'
  readonly threadsPerProcess: number
}

/** A started runtime with its networks loaded. Calls are answered in the order in which they are made. */
export interface ServeSession extends AsyncDisposable {
  /** Resolves when the networks are loaded; rejects with the error that ended the runtime before. */
  readonly ready: Promise<ServeFacts>
  /**
   * Segment a volume.
   * @throws StoppedError if the signal is aborted or the session disposed; the runtime's own error if it refuses the call;
   *   after a failure of the runtime, its reason from this call and from all others
   */
  segment(call: SegmentCall, signal?: AbortSignal): Promise<SegmentAnswer>
  paint(call: PaintCall, signal?: AbortSignal): Promise<PaintAnswer>
}

export interface ServeFacts {
  readonly device: string
  /** Versions of Python, PyTorch and MONAI. */
  readonly versions: Readonly<Record<string, string>>
}

/** Volume to segment. Arrays are in C order and must not change before the answer. */
export interface SegmentCall {
  /** HU. */
  readonly image: Int16Array | Float32Array
  readonly shape: Vec3
  /** Null if the volume is on the grid of the networks. */
  readonly affine: Affine | null
  readonly logits: boolean
}

export interface SegmentAnswer {
  readonly labels: Uint8Array
  /** One volume per class, one after another. */
  readonly logits: Float32Array | null
  /** Seconds inside the network; the rest of a call is transport and preparation. */
  readonly networkSeconds: number
}

/** A tumor to paint into a volume that lies on the grid of the networks. */
export interface PaintCall {
  /** HU. */
  readonly image: Int16Array
  /** Ids of the region. */
  readonly label: Uint8Array
  readonly shape: Vec3
  readonly tumor: PlannedTumor
  readonly windowed: boolean
}

export interface PaintAnswer {
  /** HU, or windowed intensity if requested. */
  readonly image: Int16Array | Float32Array
  readonly label: Uint8Array
  /** 1 where an intensity may differ. */
  readonly change: Uint8Array
  readonly measures: AttemptMeasures
  readonly networkSeconds: number
}
