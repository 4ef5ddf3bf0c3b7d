export type Vec3 = readonly [number, number, number]

/**
 * 4x4 in row order: voxel index (i, j, k, 1) -> physical position (x, y, z, 1) in RAS millimetres; the last
 * row is 0 0 0 1.
 */
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
 * A 3-D array with its position. C order: voxel (i, j, k) is at `(i * shape[1] + j) * shape[2] + k`, so the
 * third axis is the fastest, as in the prepared cache and in tensors. In a NIfTI file the first axis is the
 * fastest.
 */
export interface Volume<T extends VoxelArray = VoxelArray> {
  readonly data: T
  readonly shape: Vec3
  readonly affine: Affine
}

/** A label map with ids of a label scheme, or of its data set. */
export type LabelMap = Volume<Uint8Array>
