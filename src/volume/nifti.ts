import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { DataError } from '../errors.js'
import { readProblem } from '../system-errors.js'
import { expectBytes, readRest, readStart, readThrough, type StoredFile } from './decoded-bytes.js'
import type { Grid } from './geometry.js'
import { ARRAYS, type StoredArray } from './nifti-arrays.js'
import {
  bytesPerVoxel,
  MAX_HEADER_BYTES,
  MIN_HEADER_BYTES,
  type NiftiHeader,
  parseNiftiHeader,
  refusal,
} from './nifti-header.js'
import { isPairHeader } from './nifti-pair.js'
import { filesOfScan } from './scan-files.js'
import type { Affine, Volume, VoxelArray } from './volume.js'
import { reverseAxisOrder } from './voxel-order.js'

/** Size of a CT of 512 x 512 x 2048 voxels in float32. */
export const DEFAULT_MAX_BYTES = 2 ** 31

export interface NiftiVolume extends Volume, NiftiHeader {}

export interface ReadNiftiOptions {
  /** Largest decoded file, in bytes; default 2 GiB. */
  readonly maxBytes?: number
}

/**
 * Read one 3-D volume from a .nii or .nii.gz file, or from a pair of .hdr and .img, named by its .hdr. The
 * format is detected by content. The header is checked before memory is allocated; the data are inflated into
 * a buffer of exactly the promised size.
 * Voxels come in C order (third axis fastest) in the stored type, or as floating point with a rescale; 64-bit
 * integers become float64.
 * @throws DataError that names the file, with `facts.reason`, a NiftiProblem
 */
export async function readNifti(file: string, options: ReadNiftiOptions = {}): Promise<NiftiVolume> {
  return withVoxels(file, options, async (header, stored) => {
    const values = await voxelsOf(stored, header, voxelMemory())
    const [nx, ny, nz] = header.shape
    return { ...header, data: reverseAxisOrder(scaled(values, header), [nz, ny, nx]) }
  })
}

/** Memory that is reused for one file after another, so that a thread holds one file at a time. */
export interface VoxelMemory {
  /** Return at least this number of bytes. The content of an earlier call is overwritten. */
  take(bytes: number): ArrayBuffer
}

export function voxelMemory(): VoxelMemory {
  let held = new ArrayBuffer(0)
  return {
    take(bytes) {
      // free the old memory before new memory is allocated
      if (held.byteLength < bytes) held = new ArrayBuffer(0)
      if (held.byteLength < bytes) held = new ArrayBuffer(bytes)
      return held
    },
  }
}

export interface StoredVoxels {
  readonly header: NiftiHeader
  /**
   * Values as stored, in native byte order, before the rescale of the header. They lie in `memory` and are
   * valid until its next use.
   */
  readonly values: StoredArray
  /**
   * Grid of `values` in C order: the axes of the file in reverse. Nothing is moved in memory, and every voxel
   * keeps its physical position.
   */
  readonly grid: Grid
}

/**
 * Read a file as it is stored, into memory of the caller.
 * @throws DataError as `readNifti`
 */
export async function readStoredVoxels(
  file: string,
  memory: VoxelMemory,
  options: ReadNiftiOptions = {},
): Promise<StoredVoxels> {
  return withVoxels(file, options, async (header, stored) => {
    const values = await voxelsOf(stored, header, memory)
    const [nx, ny, nz] = header.shape
    return { header, values, grid: { shape: [nz, ny, nx], affine: reversedAxes(header.affine) } }
  })
}

/**
 * Read and check only the header, from the first bytes of the file.
 * @throws DataError as `readNifti`
 */
export async function readNiftiHeader(file: string, options: ReadNiftiOptions = {}): Promise<NiftiHeader> {
  return withVoxels(file, options, async (header) => header)
}

/** Call `work` with the checked header of a scan and the file that holds its voxels. */
async function withVoxels<T>(
  name: string,
  options: ReadNiftiOptions,
  work: (header: NiftiHeader, voxels: StoredFile) => Promise<T>,
): Promise<T> {
  return withStoredFile(name, options, async (stored) => {
    const header = parseNiftiHeader(await readStart(stored, MAX_HEADER_BYTES, MIN_HEADER_BYTES), name)
    if (!header.isPair) {
      checkSize(stored, header, options)
      return await work(header, stored)
    }
    await readThrough(stored, options.maxBytes ?? DEFAULT_MAX_BYTES)
    return await withStoredFile(await voxelFileOf(name), options, async (voxels) => {
      checkSize(voxels, header, options)
      return await work(header, voxels)
    })
  })
}

/**
 * Return the file with the voxels of a pair.
 * @throws DataError `headerOnly` if it is missing
 */
export async function voxelFileOf(header: string): Promise<string> {
  const [, voxels] = await filesOfScan(header)
  if (voxels !== undefined) return voxels
  const [found, hint] = isPairHeader(header)
    ? ['its .img is missing', 'fetch the .img of the same name']
    : ['its name does not end in .hdr', 'name the files .hdr and .img']
  throw refusal('headerOnly', header, `a header without voxels (${found})`, hint)
}

export async function withStoredFile<T>(
  name: string,
  { maxBytes = DEFAULT_MAX_BYTES }: ReadNiftiOptions,
  work: (file: StoredFile) => Promise<T>,
): Promise<T> {
  const handle = await openFile(name)
  try {
    const state = await handle.stat()
    if (!state.isFile()) throw refusal('notAFile', name, 'not a regular file', 'name a NIfTI file')
    if (state.size > maxBytes) throw tooLarge(name, state.size, maxBytes)
    const mark = Buffer.alloc(2)
    await handle.read(mark, 0, 2, 0)
    return await work({ handle, name, bytes: state.size, compressed: mark[0] === 0x1f && mark[1] === 0x8b })
  } finally {
    await handle.close()
  }
}

async function openFile(name: string): Promise<FileHandle> {
  try {
    // without NONBLOCK a pipe of that name would wait for a writer for ever
    return await open(name, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const isMissing = code === 'ENOENT' || code === 'ENOTDIR'
    throw refusal(
      isMissing ? 'missing' : 'unreadable',
      name,
      readProblem(code),
      isMissing ? 'correct the path, or fetch the file' : 'check the disk and the permissions',
      error,
    )
  }
}

/** Refuse a file that cannot hold the voxels of its header, before memory is allocated for them. */
function checkSize(
  voxels: StoredFile,
  { voxelOffset, shape, dataType }: NiftiHeader,
  { maxBytes = DEFAULT_MAX_BYTES }: ReadNiftiOptions,
): void {
  const total = voxelOffset + shape[0] * shape[1] * shape[2] * bytesPerVoxel(dataType)
  if (total > maxBytes) throw tooLarge(voxels.name, total, maxBytes)
  expectBytes(voxels, total)
}

async function voxelsOf(stored: StoredFile, header: NiftiHeader, memory: VoxelMemory): Promise<StoredArray> {
  const count = header.shape[0] * header.shape[1] * header.shape[2]
  const width = bytesPerVoxel(header.dataType)
  const bytes = memory.take(count * width)
  await readRest(stored, header.voxelOffset, new Uint8Array(bytes, 0, count * width))
  if (!header.littleEndian) swapBytes(bytes, count * width, width)
  return new ARRAYS[header.dataType](bytes, 0, count)
}

function reversedAxes(affine: Affine): Affine {
  return [0, 4, 8, 12].flatMap((row) => [2, 1, 0, 3].map((column) => affine[row + column]!))
}

function tooLarge(name: string, bytes: number, maxBytes: number): DataError {
  return refusal(
    'tooLarge',
    name,
    `too large (expected at most ${maxBytes} bytes, found ${bytes})`,
    'crop the scan',
  )
}

function swapBytes(bytes: ArrayBuffer, length: number, width: number): void {
  const buffer = Buffer.from(bytes, 0, length)
  if (width === 2) buffer.swap16()
  if (width === 4) buffer.swap32()
  if (width === 8) buffer.swap64()
}

/**
 * Return the values of stored voxels: the rescale is applied, 64-bit integers become float64. Types of up to
 * 16 bits and float32 give float32. The array itself is returned if nothing changes.
 */
export function scaled(
  stored: StoredArray,
  { slope, inter }: Pick<NiftiHeader, 'slope' | 'inter'>,
): VoxelArray {
  const plain =
    stored instanceof BigInt64Array || stored instanceof BigUint64Array ? toFloat64(stored) : stored
  if (slope === 1 && inter === 0) return plain
  const small = plain.BYTES_PER_ELEMENT < 4 || plain instanceof Float32Array
  const result = small ? new Float32Array(plain.length) : new Float64Array(plain.length)
  for (let n = 0; n < plain.length; n++) result[n] = plain[n]! * slope + inter
  return result
}

function toFloat64(stored: BigInt64Array | BigUint64Array): Float64Array {
  const result = new Float64Array(stored.length)
  for (let n = 0; n < stored.length; n++) result[n] = Number(stored[n]!)
  return result
}
