import type { NiftiDataType } from './nifti-header.js'
import type { VoxelArray } from './volume.js'

/** Array types of a file; 64-bit integers never leave the reader. */
export type StoredArray = VoxelArray | BigInt64Array | BigUint64Array

export const ARRAYS = {
  uint8: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float32: Float32Array,
  float64: Float64Array,
} as const satisfies Record<NiftiDataType, unknown>
