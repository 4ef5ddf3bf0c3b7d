import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import { DataError } from '../errors.js'
import { typedSystemError } from '../system-errors.js'
import { ARRAYS } from './nifti-arrays.js'
import { encodeNiftiHeader, type NiftiDataType } from './nifti-header.js'
import type { Volume, VoxelArray } from './volume.js'
import { reverseAxisOrder } from './voxel-order.js'

/** Fast compression: labels shrink well at any level, noise in a CT at none. */
const GZIP = { level: 3, chunkSize: 1024 * 1024 } as const

export interface WriteOptions {
  /** Default: the type of the array. Values must fit; nothing is rounded or clipped. */
  readonly dataType?: NiftiDataType
}

/**
 * Write a volume as little-endian NIfTI-1 with a new header, gzipped if the name ends in .gz. Equal volumes
 * give equal bytes. The file is written under a temporary name, synced and renamed, so it is complete or
 * missing.
 * @throws DataError if a value does not fit the data type; EnvironmentError if the file cannot be written
 */
export async function writeNifti(file: string, volume: Volume, options: WriteOptions = {}): Promise<void> {
  const dataType = options.dataType ?? dataTypeOf(volume.data)
  const voxels = reverseAxisOrder(converted(volume.data, dataType, file), volume.shape)
  const header = encodeNiftiHeader(volume.shape, volume.affine, dataType)
  const chunks = [header, new Uint8Array(voxels.buffer, voxels.byteOffset, voxels.byteLength)]
  const temporary = `${file}.${randomUUID()}.tmp`
  try {
    await writeSynced(temporary, chunks, file.endsWith('.gz'))
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw typedSystemError(error, file)
  }
  await syncDirectory(dirname(file))
}

function dataTypeOf(data: VoxelArray): NiftiDataType {
  const found = Object.entries(ARRAYS).find(([, type]) => data instanceof type)
  return found![0] as NiftiDataType
}

function converted(data: VoxelArray, dataType: NiftiDataType, file: string): VoxelArray {
  if (dataType === dataTypeOf(data)) return data
  if (dataType === 'int64' || dataType === 'uint64')
    throw new DataError(`${file}: ${dataType} is unsupported for writing`, {
      hint: 'choose a type of at most 32 bits, or float64',
    })
  const result = new ARRAYS[dataType](data.length)
  for (let n = 0; n < data.length; n++) {
    result[n] = data[n]!
    if (dataType !== 'float32' && result[n] !== data[n] && !Number.isNaN(data[n]))
      throw new DataError(`${file}: value out of range (expected ${dataType}, found ${data[n]})`, {
        hint: 'choose a wider data type',
      })
  }
  return result
}

async function writeSynced(file: string, chunks: readonly Uint8Array[], compress: boolean): Promise<void> {
  const handle = await open(file, 'wx')
  try {
    const plain = Readable.from(chunks)
    const stored: AsyncIterable<Uint8Array> = compress ? plain.pipe(createGzip(GZIP)) : plain
    // each call continues where the last one ended
    for await (const chunk of stored) await handle.writeFile(chunk)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
