import type { Vec3 } from '../volume/volume.js'

/** A mask in its own box: 0 or 1, C order. */
export interface BoxMask {
  readonly data: Uint8Array
  readonly shape: Vec3
}

/** 3x3 control values of one warp for its two in-plane components, row by row: 2 * 9 numbers, in voxels. */
export type WarpControl = Float64Array

/** The planes of the three warps, in order; the third number is the axis along which the field does not change. */
const WARP_PLANES = [
  [0, 1, 2],
  [1, 2, 0],
  [0, 2, 1],
] as const

/** Voxel i of a box of 4 r is inside when sum(((i - 2 r) / r)^2) < 1. */
export function ellipsoidBox(radii: Vec3): BoxMask {
  const shape: Vec3 = [4 * radii[0], 4 * radii[1], 4 * radii[2]]
  const data = new Uint8Array(shape[0] * shape[1] * shape[2])
  for (let i = radii[0] + 1; i < 3 * radii[0]; i++) {
    const x = ((i - 2 * radii[0]) / radii[0]) ** 2
    for (let j = radii[1] + 1; j < 3 * radii[1]; j++) {
      const xy = x + ((j - 2 * radii[1]) / radii[1]) ** 2
      const row = (i * shape[1] + j) * shape[2]
      for (let k = radii[2] + 1; k < 3 * radii[2]; k++)
        if (xy + ((k - 2 * radii[2]) / radii[2]) ** 2 < 1) data[row + k] = 1
    }
  }
  return { data, shape }
}

/** The three warps, each applied to the mask that the one before resampled (METHOD 5.2). */
export function warpThrice(
  mask: BoxMask,
  controls: readonly [WarpControl, WarpControl, WarpControl],
): BoxMask {
  return controls.reduce((warped, control, at) => warp(warped, control, at as 0 | 1 | 2), mask)
}

/**
 * One warp: out(v) = in(v + d(v)), nearest voxel (floor(x + 0.5)), 0 outside. d is the tensor product of interpolating cubic
 * B-splines through the control values, the same for every slice along the plane's normal.
 */
export function warp(mask: BoxMask, control: WarpControl, plane: 0 | 1 | 2): BoxMask {
  const { shape } = mask
  const data = new Uint8Array(mask.data.length)
  const reach = extentOf(mask)
  if (reach === null) return { data, shape }
  const [first, second, normal] = WARP_PLANES[plane]
  const strides: Vec3 = [shape[1] * shape[2], shape[2], 1]
  const map = planeMap(shape[first], shape[second], control, reach[first], reach[second])
  const [firstStride, secondStride, normalStride] = [strides[first], strides[second], strides[normal]]
  const { from, to } = map
  const sources = new Int32Array(from.length)
  const targets = new Int32Array(from.length)
  const width = shape[second]
  for (let at = 0; at < from.length; at++) {
    sources[at] = Math.floor(from[at]! / width) * firstStride + (from[at]! % width) * secondStride
    targets[at] = Math.floor(to[at]! / width) * firstStride + (to[at]! % width) * secondStride
  }
  const [low, high] = reach[normal]
  if (normalStride === 1) {
    for (let at = 0; at < sources.length; at++) {
      const source = sources[at]! + low
      data.set(mask.data.subarray(source, source + high - low + 1), targets[at]! + low)
    }
  } else {
    for (let slice = low * normalStride; slice <= high * normalStride; slice += normalStride)
      for (let at = 0; at < sources.length; at++)
        data[slice + targets[at]!] = mask.data[slice + sources[at]!]!
  }
  return { data, shape }
}

/** First and last index along each axis that holds a 1; null for an empty mask. */
export function extentOf(mask: BoxMask): readonly [Range, Range, Range] | null {
  const { data, shape } = mask
  const [, n1, n2] = shape
  let [i0, i1, j0, j1, k0, k1] = [shape[0], -1, n1, -1, n2, -1]
  let at = data.indexOf(1)
  while (at >= 0) {
    const row = Math.floor(at / n2)
    const start = row * n2
    const i = Math.floor(row / n1)
    const j = row % n1
    if (i < i0) i0 = i
    i1 = i
    if (j < j0) j0 = j
    if (j > j1) j1 = j
    if (at - start < k0) k0 = at - start
    let last = start + n2 - 1
    while (data[last] === 0) last--
    if (last - start > k1) k1 = last - start
    at = data.indexOf(1, start + n2)
  }
  return i1 < 0
    ? null
    : [
        [i0, i1],
        [j0, j1],
        [k0, k1],
      ]
}

export type Range = readonly [number, number]

/** Where each voxel of a plane that can become 1 takes its value from; positions are row * width + column. */
function planeMap(
  rows: number,
  columns: number,
  control: WarpControl,
  [row0, row1]: Range,
  [column0, column1]: Range,
): { readonly from: Int32Array; readonly to: Int32Array } {
  const from = new Int32Array(rows * columns)
  const to = new Int32Array(rows * columns)
  let count = 0
  const rowWeights = splineWeights(rows)
  const columnWeights = splineWeights(columns)
  // control values already combined along the rows: two components of three columns
  const along = new Float64Array(6)
  for (let i = 0; i < rows; i++) {
    for (let part = 0; part < 6; part++) {
      const base = part < 3 ? part : part + 6
      along[part] =
        rowWeights[3 * i]! * control[base]! +
        rowWeights[3 * i + 1]! * control[base + 3]! +
        rowWeights[3 * i + 2]! * control[base + 6]!
    }
    for (let j = 0; j < columns; j++) {
      const [w0, w1, w2] = [columnWeights[3 * j]!, columnWeights[3 * j + 1]!, columnWeights[3 * j + 2]!]
      const x = i + w0 * along[0]! + w1 * along[1]! + w2 * along[2]!
      const y = j + w0 * along[3]! + w1 * along[4]! + w2 * along[5]!
      if (!(x >= 0 && y >= 0 && x <= rows - 1 && y <= columns - 1)) continue
      const row = Math.floor(x + 0.5)
      const column = Math.floor(y + 0.5)
      // what lies outside the mask's extent is 0 already
      if (row < row0 || row > row1 || column < column0 || column > column1) continue
      from[count] = row * columns + column
      to[count++] = i * columns + j
    }
  }
  return { from: from.subarray(0, count), to: to.subarray(0, count) }
}

const weightsByLength = new Map<number, Float64Array>()

/**
 * Weights of the three control values at each of `length` voxels: voxel i has control coordinate 2 i / (length - 1).
 * Coefficients c of the interpolating spline with whole-sample mirror (c[-1] = c[1], c[3] = c[1]) solve
 * 6 y = c[j-1] + 4 c[j] + c[j+1].
 */
function splineWeights(length: number): Float64Array {
  const known = weightsByLength.get(length)
  if (known) return known
  const weights = new Float64Array(3 * length)
  for (let i = 0; i < length; i++) {
    const u = (2 * i) / (length - 1)
    const b0 = cubic(u)
    const b1 = cubic(u + 1) + cubic(u - 1) + cubic(u - 3)
    const b2 = cubic(u - 2)
    weights[3 * i] = 1.75 * b0 - 0.5 * b1 + 0.25 * b2
    weights[3 * i + 1] = -b0 + 2 * b1 - b2
    weights[3 * i + 2] = 0.25 * b0 - 0.5 * b1 + 1.75 * b2
  }
  weightsByLength.set(length, weights)
  return weights
}

/** The cubic B-spline. */
function cubic(t: number): number {
  const distance = Math.abs(t)
  if (distance >= 2) return 0
  if (distance >= 1) return (2 - distance) ** 3 / 6
  return 2 / 3 - distance ** 2 + distance ** 3 / 2
}
