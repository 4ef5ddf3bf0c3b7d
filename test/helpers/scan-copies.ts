import type { WholeHuVolume } from '../../src/curation/audit/exact-hash.js'
import type { AxisMoves } from '../../src/volume/geometry.js'
import type { Vec3, Volume, VoxelArray } from '../../src/volume/volume.js'
import { diagonal } from './nifti-fixtures.js'

/** All 48 ways to turn and mirror the axes of a volume. */
export function allMoves(): AxisMoves[] {
  const orders: Vec3[] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ]
  return orders.flatMap((source) =>
    Array.from({ length: 8 }, (_, bits) => ({
      source,
      flip: [(bits & 1) > 0, (bits & 2) > 0, (bits & 4) > 0] as const,
    })),
  )
}

/** A part of a volume: from voxel `first`, `shape` voxels. */
export function cropped<T extends VoxelArray>(
  { data, shape, affine }: Volume<T>,
  first: Vec3,
  part: Vec3,
): Volume<T> {
  const out = new (data.constructor as new (length: number) => T)(part[0] * part[1] * part[2])
  let to = 0
  for (let i = 0; i < part[0]; i++)
    for (let j = 0; j < part[1]; j++)
      for (let k = 0; k < part[2]; k++)
        out[to++] = data[((i + first[0]) * shape[1] + j + first[1]) * shape[2] + k + first[2]]!
  return { data: out, shape: part, affine }
}

/** The part of a volume that keeps this share of each axis, from its middle on each side alike. */
export function middlePart<T extends VoxelArray>(volume: Volume<T>, share: Vec3): Volume<T> {
  const part = volume.shape.map((size, axis) => Math.round(size * share[axis]!)) as unknown as Vec3
  const first = volume.shape.map((size, axis) => (size - part[axis]!) >> 1) as unknown as Vec3
  return cropped(volume, first, part)
}

/** Linear interpolation at voxel centres of another spacing; axes along the world's. */
export function resampled(volume: Volume, spacingMm: Vec3, toMm: Vec3): Volume<Float32Array> {
  const { data, shape } = volume
  const size = shape.map((n, axis) => Math.max(1, Math.round((n * spacingMm[axis]!) / toMm[axis]!)))
  const axes = size.map((n, axis) =>
    Array.from({ length: n }, (_, at) => {
      const exact = ((at + 0.5) * toMm[axis]!) / spacingMm[axis]! - 0.5
      const inside = Math.max(0, Math.min(shape[axis]! - 1, exact))
      const low = Math.min(Math.max(0, shape[axis]! - 2), Math.floor(inside))
      return { low, high: Math.min(shape[axis]! - 1, low + 1), part: inside - low }
    }),
  )
  const [is, js, ks] = axes as [(typeof axes)[0], (typeof axes)[0], (typeof axes)[0]]
  const out = new Float32Array(is.length * js.length * ks.length)
  let to = 0
  const at = (i: number, j: number, k: number): number => data[(i * shape[1] + j) * shape[2] + k]!
  for (const i of is)
    for (const j of js)
      for (const k of ks) {
        const line = (x: number, y: number): number =>
          at(x, y, k.low) * (1 - k.part) + at(x, y, k.high) * k.part
        const plane = (x: number): number => line(x, j.low) * (1 - j.part) + line(x, j.high) * j.part
        out[to++] = plane(i.low) * (1 - i.part) + plane(i.high) * i.part
      }
  return { data: out, shape: [is.length, js.length, ks.length], affine: diagonal(toMm) }
}

/** Clipped to a window and brought to [0, 1]. */
export function windowed(volume: Volume, lowHu: number, highHu: number): Volume<Float32Array> {
  const data = Float32Array.from(
    volume.data,
    (hu) => (Math.max(lowHu, Math.min(highHu, hu)) - lowHu) / (highHu - lowHu),
  )
  return { ...volume, data }
}

/** The same numbers in another type, plus a constant. */
export function retyped<T extends VoxelArray>(
  volume: Volume,
  type: new (length: number) => T,
  plus = 0,
): Volume<T> {
  const data = new type(volume.data.length)
  for (let v = 0; v < data.length; v++) data[v] = volume.data[v]! + plus
  return { ...volume, data }
}

export function asHu({ data, shape, affine }: Volume<Int16Array>): WholeHuVolume {
  return { data, shape, affine, thousandths: false }
}
