import { closeSync, openSync, statSync } from 'node:fs'
import { endianness } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { EnvironmentError } from '../errors.js'
import type { Vec3 } from '../volume/volume.js'
import { type ArrayFile, changeStamp, readFully } from './array-file.js'
import { type ArrayName, BLOCK_VOXELS, brokenCase, damaged, type OpenGroup } from './case-group.js'
import { openCompressed } from './compressed-array.js'

/** Image or label of a prepared case; boxes of it are read without the remainder. */
export interface CachedArray<T extends Int16Array | Uint8Array> {
  readonly shape: Vec3
  /**
   * Return the voxels of [start, stop) in C order; the box must lie inside.
   * @throws DataError that names the slab if its voxels changed since the case was prepared
   */
  read(start: readonly number[], stop: readonly number[]): T
  close(): void
}

const TYPES = { image: 'int16', label: 'uint8', index: 'uint16' } as const
const BYTES = { image: 2, label: 1, index: 2 } as const

/**
 * Open the image.
 * @throws DataError on another type or a truncated file
 */
export function openImage(group: OpenGroup): CachedArray<Int16Array> {
  return openVoxels(group, 'image', (length) => new Int16Array(length))
}

/**
 * Open the label.
 * @throws DataError on another type or a truncated file
 */
export function openLabel(group: OpenGroup): CachedArray<Uint8Array> {
  return openVoxels(group, 'label', (length) => new Uint8Array(length))
}

/**
 * Return the whole index, C order.
 * @throws DataError if it changed since the case was prepared
 */
export function readIndex(group: OpenGroup): Uint16Array {
  const { descriptor } = openChunk(group, 'index')
  try {
    const { shape } = group.arrays.index
    const counts = new Uint16Array(shape.reduce((product, side) => product * side, 1))
    readFully({ group, name: 'index', descriptor }, bytesOf(counts), 0)
    if (crc32(bytesOf(counts)) !== group.indexChecksum) throw damaged(group, 'index')
    return counts
  } finally {
    closeSync(descriptor)
  }
}

/** Open the file of an array, after checking its size if it is not compressed. */
function openChunk(
  group: OpenGroup,
  name: ArrayName,
): { readonly descriptor: number; readonly bytes: number } {
  const { type, shape } = group.arrays[name]
  if (type !== TYPES[name])
    throw brokenCase(group, `${name}: wrong type (expected ${TYPES[name]}, found ${type})`)
  if (endianness() !== 'LE')
    throw new EnvironmentError('prepared cache: wrong byte order (expected a little-endian processor)', {
      hint: 'use an x86-64 or ARM64 machine',
    })
  const file = join(group.path, name, 'c', ...shape.map(() => '0'))
  const bytes = BYTES[name] * shape.reduce((product, side) => product * side, 1)
  const found = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (found !== bytes && (name === 'index' || !group.compressed || found === 0))
    throw brokenCase(group, `${name}: wrong size (expected ${bytes} bytes, found ${found})`)
  return { descriptor: openSync(file, 'r'), bytes: found }
}

function openVoxels<T extends Int16Array | Uint8Array>(
  group: OpenGroup,
  name: 'image' | 'label',
  allocate: (length: number) => T,
): CachedArray<T> {
  const shape = group.arrays[name].shape as unknown as Vec3
  const chunk = { group, name, ...openChunk(group, name) }
  const close = (): void => closeSync(chunk.descriptor)
  const expected = group.voxelChecksums[name]
  try {
    const read = group.compressed
      ? openCompressed(chunk, shape, expected, allocate)
      : slabReader(chunk, shape, expected, allocate)
    return { shape, read, close }
  } catch (error) {
    close()
    throw error
  }
}

/** Return the function that reads boxes of an uncompressed array. */
function slabReader<T extends Int16Array | Uint8Array>(
  chunk: ArrayFile,
  shape: Vec3,
  expected: Uint32Array,
  allocate: (length: number) => T,
): CachedArray<T>['read'] {
  const check = slabChecker(chunk, expected, shape[1])
  return (start, stop) => {
    const [planes, rows, columns] = stop.map((end, axis) => end - start[axis]!) as [number, number, number]
    const box = allocate(planes * rows * columns)
    const stamp = changeStamp(chunk.descriptor)
    // whole slabs are read for their checksums; whole rows are read because they are adjacent on disk
    const firstRow = Math.floor(start[1]! / BLOCK_VOXELS) * BLOCK_VOXELS
    const endRow = Math.min(shape[1], Math.ceil(stop[1]! / BLOCK_VOXELS) * BLOCK_VOXELS)
    const slabs = allocate((endRow - firstRow) * shape[2])
    for (let plane = 0; plane < planes && box.length > 0; plane++) {
      const x = start[0]! + plane
      readFully(chunk, bytesOf(slabs), (x * shape[1] + firstRow) * shape[2] * slabs.BYTES_PER_ELEMENT)
      check(stamp, x, firstRow, endRow, bytesOf(slabs))
      for (let row = 0; row < rows; row++) {
        const from = (start[1]! - firstRow + row) * shape[2] + start[2]!
        box.set(
          slabs.subarray(from, from + columns) as T & Int16Array & Uint8Array,
          (plane * rows + row) * columns,
        )
      }
    }
    return box
  }
}

/**
 * Return a function that checks slabs, each once until size or times of the file change. A case that stays
 * open is not checked for every crop, but writes to its file during a run are still detected.
 */
function slabChecker(chunk: ArrayFile, expected: Uint32Array, numRows: number) {
  const perPlane = Math.ceil(numRows / BLOCK_VOXELS)
  const checked = new Uint8Array(expected.length)
  let checkedAt = ''
  return (stamp: string, x: number, firstRow: number, endRow: number, slabs: Uint8Array): void => {
    if (stamp !== checkedAt) {
      checked.fill(0)
      checkedAt = stamp
    }
    const rowBytes = slabs.length / (endRow - firstRow)
    for (let row = firstRow; row < endRow; row += BLOCK_VOXELS) {
      const slab = x * perPlane + row / BLOCK_VOXELS
      if (checked[slab]) continue
      const from = (row - firstRow) * rowBytes
      if (crc32(slabs.subarray(from, from + BLOCK_VOXELS * rowBytes)) !== expected[slab])
        throw damaged(
          chunk.group,
          `${chunk.name}: plane ${x}, rows ${row} to ${Math.min(row + BLOCK_VOXELS, endRow) - 1}`,
        )
      checked[slab] = 1
    }
  }
}

function bytesOf(array: Int16Array | Uint16Array | Uint8Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
