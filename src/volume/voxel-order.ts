import type { Vec3, VoxelArray } from './volume.js'

/** Side of the tile that is transposed at a time: one cache line is read and one written per row. */
const TILE = 32

type Bits = Uint8Array | Uint16Array | Uint32Array | Float64Array

/**
 * Return the same voxels with the memory order of the axes reversed: from a C-order array of `shape`, whose
 * last axis is the fastest, to one whose first axis is the fastest. With the reversed shape, the call is its
 * own inverse.
 */
export function reverseAxisOrder<T extends VoxelArray>(source: T, shape: Vec3): T {
  const target = new (source.constructor as new (length: number) => T)(source.length)
  // voxels are moved as bits of equal size: four kinds of array instead of eight keep the loop fast
  turn(bitsOf(source), bitsOf(target), shape)
  return target
}

function bitsOf(array: VoxelArray): Bits {
  const { buffer, byteOffset, length, BYTES_PER_ELEMENT } = array
  if (BYTES_PER_ELEMENT === 1) return new Uint8Array(buffer, byteOffset, length)
  if (BYTES_PER_ELEMENT === 2) return new Uint16Array(buffer, byteOffset, length)
  if (BYTES_PER_ELEMENT === 4) return new Uint32Array(buffer, byteOffset, length)
  return new Float64Array(buffer, byteOffset, length)
}

/** Copy source[(a * n1 + b) * n2 + c] -> target[(c * n1 + b) * n0 + a], tile by tile in the plane (a, c). */
function turn(source: Bits, target: Bits, [n0, n1, n2]: Vec3): void {
  const tile = new (source.constructor as new (length: number) => Bits)(TILE * TILE)
  for (let b = 0; b < n1; b++)
    for (let a0 = 0; a0 < n0; a0 += TILE) {
      const height = Math.min(TILE, n0 - a0)
      for (let c0 = 0; c0 < n2; c0 += TILE) {
        const width = Math.min(TILE, n2 - c0)
        for (let a = 0; a < height; a++) {
          const from = ((a0 + a) * n1 + b) * n2 + c0
          for (let c = 0; c < width; c++) tile[c * TILE + a] = source[from + c]!
        }
        for (let c = 0; c < width; c++) {
          const to = ((c0 + c) * n1 + b) * n0 + a0
          for (let a = 0; a < height; a++) target[to + a] = tile[c * TILE + a]!
        }
      }
    }
}
