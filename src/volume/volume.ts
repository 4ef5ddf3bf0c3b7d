export type Vec3 = readonly [number, number, number]

/** 4x4 row-major, voxel index (i, j, k, 1) -> world (x, y, z, 1) in RAS millimetres; the last row is 0 0 0 1. */
export type Affine = readonly number[]

export type VoxelArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array

/**
 * A 3-D array and where it lies. C order: voxel (i, j, k) is at `(i * shape[1] + j) * shape[2] + k`, so the third
 * axis is the fastest, as in the prepared cache and in tensors. (A NIfTI file has the first axis fastest.)
 */
export interface Volume<T extends VoxelArray = VoxelArray> {
  readonly data: T
  readonly shape: Vec3
  readonly affine: Affine
}

/** A label map: ids of a label scheme, or of the data set it came from. */
export type LabelMap = Volume<Uint8Array>
