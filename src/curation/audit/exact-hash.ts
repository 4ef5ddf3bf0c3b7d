import { createHash } from 'node:crypto'
import { moveAxes } from '../../volume/geometry.js'
import type { Vec3, Volume, VoxelArray } from '../../volume/volume.js'

/** Values in whole HU; NaN and values outside int16 become its ends. */
export interface WholeHuVolume extends Volume<Int16Array> {
  /** The values are not HU but thousandths of an intensity window that was rescaled to about [0, 1]. */
  readonly thousandths: boolean
}

/**
 * Return whole HU for any data type: a re-export as float, with a slope, or as int32 gives equal numbers.
 * Floats within a range below 16 are not HU but an intensity window that was rescaled to about [0, 1]; they
 * are returned in thousandths.
 */
export function wholeHu(volume: Volume): WholeHuVolume {
  const { data, shape, affine } = volume
  if (data instanceof Int16Array) return { data, shape, affine, thousandths: false }
  const thousandths = isFloat(data) && rangeOf(data) < 16
  const scale = thousandths ? 1000 : 1
  const hu = new Int16Array(data.length)
  for (let v = 0; v < data.length; v++) {
    const value = Math.round(data[v]! * scale)
    hu[v] = value >= -32768 ? Math.min(32767, value) : -32768
  }
  return { data: hu, shape, affine, thousandths }
}

/**
 * Return the SHA-256 of the voxels, equal for all 48 ways to order and reverse their axes. Header, spacing,
 * orientation and data type have no influence. The sums of the slices along each axis determine axes and
 * directions of most volumes; symmetric volumes take the smallest hash of the remaining ways.
 */
export function exactHash(volume: WholeHuVolume): string {
  const profiles = sliceSums(volume)
  const hashes = canonicalMoves(volume.shape, profiles).map(({ source, flip }) => {
    const { data, shape } = moveAxes(volume, { source, flip })
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    return createHash('sha256')
      .update(`${shape.join('x')};`)
      .update(bytes)
      .digest('hex')
  })
  return hashes.sort()[0]!
}

type Moves = Parameters<typeof moveAxes>[1]

/** Return axis orders and directions in which sizes, then profiles, rise; several if profiles are equal. */
function canonicalMoves(shape: Vec3, profiles: readonly Float64Array[]): Moves[] {
  const directions = profiles.map((profile) => {
    const order = compare(profile, profile.slice().reverse())
    return order === 0 ? [false, true] : [order > 0]
  })
  const upright = profiles.map((profile, axis) =>
    directions[axis]![0] ? profile.slice().reverse() : profile,
  )
  const inOrder = (a: number, b: number): boolean =>
    shape[a]! < shape[b]! || (shape[a] === shape[b] && compare(upright[a]!, upright[b]!) <= 0)
  const orders = ORDERS.filter(([a, b, c]) => inOrder(a, b) && inOrder(b, c))
  return orders.flatMap(([a, b, c]) =>
    directions[a]!.flatMap((flipA) =>
      directions[b]!.flatMap((flipB) =>
        directions[c]!.map((flipC): Moves => ({ source: [a, b, c], flip: [flipA, flipB, flipC] })),
      ),
    ),
  )
}

const ORDERS: readonly Vec3[] = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
]

/** Sum each slice along each axis. The sums are integers below 2^53, so exact in any order. */
function sliceSums({ data, shape }: WholeHuVolume): Float64Array[] {
  const [n0, n1, n2] = shape
  const [sums0, sums1, sums2] = [new Float64Array(n0), new Float64Array(n1), new Float64Array(n2)]
  let v = 0
  for (let i = 0; i < n0; i++)
    for (let j = 0; j < n1; j++) {
      let row = 0
      for (let k = 0; k < n2; k++) {
        const hu = data[v++]!
        row += hu
        sums2[k]! += hu
      }
      sums0[i]! += row
      sums1[j]! += row
    }
  return [sums0, sums1, sums2]
}

function compare(a: Float64Array, b: Float64Array): number {
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return a[at]! - b[at]!
  return 0
}

function isFloat(data: VoxelArray): boolean {
  return data instanceof Float32Array || data instanceof Float64Array
}

function rangeOf(data: VoxelArray): number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let v = 0; v < data.length; v++) {
    const value = data[v]!
    if (value < low) low = value
    if (value > high) high = value
  }
  return high - low
}
