import { crc32 } from 'node:zlib'
import type { Vec3 } from '../volume/volume.js'
import { type ArrayFile, changeStamp, readFully } from './array-file.js'
import { BloscError, decodeBlosc } from './blosc.js'
import { CHUNK_VOXELS, chunksOf, damaged } from './case-group.js'

/** Bytes of offset and size of a chunk in the index, and of the index's own checksum at its end. */
const ENTRY_BYTES = 16
const CRC_BYTES = 4
const VOXELS_PER_CHUNK = CHUNK_VOXELS ** 3

/**
 * Return the function that reads boxes of a compressed image or label (freetumor_runtime/data/cache_shards.py describes the
 * file). Only the chunks that a box touches are decoded.
 * @param expected CRC-32 of the index, then of each chunk
 * @throws DataError if the index is damaged; on a read, if a chunk is
 */
export function openCompressed<T extends Int16Array | Uint8Array>(
  file: ArrayFile & { readonly bytes: number },
  shape: Vec3,
  expected: Uint32Array,
  allocate: (length: number) => T,
): (start: readonly number[], stop: readonly number[]) => T {
  const grid = chunksOf(shape)
  const index = readIndex(file, grid[0] * grid[1] * grid[2], expected[0]!)
  const bytesPerVoxel = allocate(0).BYTES_PER_ELEMENT
  const decoded = new Uint8Array(VOXELS_PER_CHUNK * bytesPerVoxel)
  const checked = new Uint8Array(expected.length)
  let checkedAt = ''
  let stored = new Uint8Array(0)

  /** Read a run of chunks that lie one behind the other in the file. */
  const readRun = (first: number, count: number): readonly Uint8Array[] => {
    const from = index[2 * first]!
    const last = first + count - 1
    const bytes = index[2 * last]! + index[2 * last + 1]! - from
    if (stored.length < bytes) stored = new Uint8Array(bytes)
    readFully(file, stored.subarray(0, bytes), from)
    return Array.from({ length: count }, (_, at) => {
      const start = index[2 * (first + at)]! - from
      return stored.subarray(start, start + index[2 * (first + at) + 1]!)
    })
  }

  /** Decode the first voxels of a chunk into `decoded`; return whether its bytes are shuffled. */
  const decode = (chunk: number, content: Uint8Array, place: Vec3, voxels: number): boolean => {
    const name = `${file.name}: chunk at voxel ${place.map((at) => at * CHUNK_VOXELS)}`
    if (!checked[chunk]) {
      if (crc32(content) !== expected[1 + chunk]) throw damaged(file.group, name)
      checked[chunk] = 1
    }
    try {
      return decodeBlosc(content, decoded, voxels)
    } catch (error) {
      if (error instanceof BloscError) throw damaged(file.group, `${name} (${error.message})`)
      throw error
    }
  }

  return (start, stop) => {
    const stamp = changeStamp(file.descriptor)
    if (stamp !== checkedAt) {
      checked.fill(0)
      checkedAt = stamp
    }
    const sides = stop.map((end, axis) => end - start[axis]!) as unknown as Vec3
    const box = allocate(sides[0] * sides[1] * sides[2])
    if (box.length === 0) return box
    const low = start.map((at) => Math.floor(at / CHUNK_VOXELS)) as unknown as Vec3
    const high = stop.map((at) => Math.ceil(at / CHUNK_VOXELS)) as unknown as Vec3
    for (let x = low[0]; x < high[0]; x++)
      for (let y = low[1]; y < high[1]; y++) {
        const first = (x * grid[1] + y) * grid[2] + low[2]
        const run = readRun(first, high[2] - low[2])
        for (const [at, content] of run.entries()) {
          const place: Vec3 = [x, y, low[2] + at]
          const rows = rowsOf(place, start, sides)
          const shuffled = decode(first + at, content, place, lastOf(rows))
          if (box instanceof Int16Array) copyWords(box, decoded, shuffled, rows)
          else copyBytes(box, decoded, rows)
        }
      }
    return box
  }
}

/** Return offset and size of each chunk. */
function readIndex(
  file: ArrayFile & { readonly bytes: number },
  numChunks: number,
  expected: number,
): Float64Array {
  const length = ENTRY_BYTES * numChunks + CRC_BYTES
  if (file.bytes < length) throw damaged(file.group, `${file.name}: its index`)
  const content = Buffer.alloc(length)
  readFully(file, content, file.bytes - length)
  if (crc32(content) !== expected) throw damaged(file.group, `${file.name}: its index`)
  const values = new Float64Array(2 * numChunks)
  for (let at = 0; at < values.length; at++) values[at] = Number(content.readBigUInt64LE(8 * at))
  return values
}

/** Rows of a chunk that lie in a box: their numbers along x and y, their length, and first voxels in chunk and box. */
interface Rows {
  readonly planes: number
  readonly rows: number
  readonly columns: number
  readonly from: number
  readonly to: number
  /** Voxels from a plane to the next, and from a row to the next, in the box. */
  readonly plane: number
  readonly row: number
}

function rowsOf(place: Vec3, start: readonly number[], sides: Vec3): Rows {
  const [, rowsOfBox, columnsOfBox] = sides
  const first = place.map((at) => at * CHUNK_VOXELS)
  const low = first.map((at, axis) => Math.max(at, start[axis]!)) as unknown as Vec3
  const [planes, rows, columns] = low.map(
    (at, axis) => Math.min(first[axis]! + CHUNK_VOXELS, start[axis]! + sides[axis]!) - at,
  ) as [number, number, number]
  const inChunk = low.map((at, axis) => at - first[axis]!)
  const inBox = low.map((at, axis) => at - start[axis]!)
  return {
    planes,
    rows,
    columns,
    from: (inChunk[0]! * CHUNK_VOXELS + inChunk[1]!) * CHUNK_VOXELS + inChunk[2]!,
    to: (inBox[0]! * rowsOfBox + inBox[1]!) * columnsOfBox + inBox[2]!,
    plane: rowsOfBox * columnsOfBox,
    row: columnsOfBox,
  }
}

/** Return the number of voxels up to the last one that lies in the box: what is behind it need not be decoded. */
function lastOf({ planes, rows, columns, from }: Rows): number {
  return from + ((planes - 1) * CHUNK_VOXELS + rows - 1) * CHUNK_VOXELS + columns
}

/** Copy the voxels of one byte. A function for each type of voxel: one for both would be several times slower. */
function copyBytes(box: Uint8Array, decoded: Uint8Array, part: Rows): void {
  for (let x = 0; x < part.planes; x++)
    for (let y = 0; y < part.rows; y++) {
      const from = part.from + (x * CHUNK_VOXELS + y) * CHUNK_VOXELS
      const to = part.to + x * part.plane + y * part.row
      for (let z = 0; z < part.columns; z++) box[to + z] = decoded[from + z]!
    }
}

/** Copy the voxels of two bytes, and restore the order of their bytes. */
function copyWords(box: Int16Array, decoded: Uint8Array, shuffled: boolean, part: Rows): void {
  const stride = shuffled ? 1 : 2
  const high = shuffled ? VOXELS_PER_CHUNK : 1
  for (let x = 0; x < part.planes; x++)
    for (let y = 0; y < part.rows; y++) {
      let from = (part.from + (x * CHUNK_VOXELS + y) * CHUNK_VOXELS) * stride
      const to = part.to + x * part.plane + y * part.row
      for (let z = 0; z < part.columns; z++, from += stride)
        box[to + z] = decoded[from]! | (decoded[from + high]! << 8)
    }
}
