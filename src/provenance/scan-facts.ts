import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { DataError } from '../errors.js'
import { cannotBeRead } from '../system-errors.js'
import { expectBytes, readExactly, readStart } from '../volume/decoded-bytes.js'
import { withStoredFile } from '../volume/nifti.js'
import { niftiExtensions } from '../volume/nifti-extensions.js'
import { type NiftiFields, niftiFields } from '../volume/nifti-fields.js'
import {
  bytesPerVoxel,
  MAX_HEADER_BYTES,
  MIN_HEADER_BYTES,
  parseNiftiHeader,
} from '../volume/nifti-header.js'
import { findMark, type Mark } from './mark.js'

/** Content of a scan, independent of its compression and byte order. */
export interface ScanFacts {
  readonly header: NiftiFields
  readonly mark: Mark | null
  /** Extensions other than the mark, and stray bytes before the voxels. */
  readonly hasMore: boolean
  /** SHA-256 of the stored voxels in little-endian order. */
  readonly voxels: string
}

/** Largest size of header and extensions. */
const MAX_PREFACE = 1 << 20

/**
 * Read a NIfTI file in chunks; its size does not matter.
 * @throws DataError that names the file, as `readNifti`
 */
export async function readScanFacts(path: string): Promise<ScanFacts> {
  return await withStoredFile(path, {}, async (stored) => {
    const start = await readStart(stored, MAX_HEADER_BYTES, MIN_HEADER_BYTES)
    const header = parseNiftiHeader(start, path)
    const { shape, voxelOffset, littleEndian, version } = header
    if (header.isPair || voxelOffset > MAX_PREFACE)
      throw new DataError(`${path}: not a single NIfTI file with a small header`, {
        hint: 'convert it to .nii.gz',
      })
    const width = bytesPerVoxel(header.dataType)
    const total = voxelOffset + shape[0] * shape[1] * shape[2] * width
    expectBytes(stored, total)
    const preface = new Uint8Array(voxelOffset)
    const voxels = voxelHash(littleEndian ? 1 : width)
    await readExactly(stored, total, (chunk, position) => {
      const before = Math.min(chunk.length, Math.max(0, voxelOffset - position))
      if (before > 0) preface.set(chunk.subarray(0, before), position)
      voxels.take(chunk.subarray(before))
    })
    const { extensions, strayBytes } = niftiExtensions(preface, version, littleEndian)
    const { mark, others } = findMark(extensions)
    return {
      header: niftiFields(preface),
      mark,
      hasMore: others > 0 || strayBytes,
      voxels: voxels.digest(),
    }
  })
}

/** Hash voxels of `width` bytes with their bytes in reverse order; width 1 keeps the order. */
function voxelHash(width: number) {
  const hash = createHash('sha256')
  let rest = Buffer.alloc(0)
  return {
    take(chunk: Uint8Array): void {
      if (width === 1) {
        hash.update(chunk)
        return
      }
      const all = Buffer.concat([rest, chunk])
      const whole = all.subarray(0, all.length - (all.length % width))
      rest = Buffer.from(all.subarray(whole.length))
      if (width === 2) whole.swap16()
      if (width === 4) whole.swap32()
      if (width === 8) whole.swap64()
      hash.update(whole)
    },
    digest: () => hash.digest('hex'),
  }
}

/**
 * Return the SHA-256 and the size of a file.
 * @throws DataError for a missing or unreadable one
 */
export async function hashFile(path: string): Promise<{ readonly sha256: string; readonly bytes: number }> {
  try {
    // a pipe without a writer would block a plain open for ever
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    if (!(await file.stat()).isFile())
      throw new DataError(`${path}: not a regular file`, { hint: 'name a file' })
    const hash = createHash('sha256')
    const buffer = Buffer.alloc(1 << 20)
    let bytes = 0
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, bytes)
      if (bytesRead === 0) return { sha256: hash.digest('hex'), bytes }
      hash.update(buffer.subarray(0, bytesRead))
      bytes += bytesRead
    }
  } catch (error) {
    if (error instanceof DataError) throw error
    throw new DataError(cannotBeRead(path, (error as NodeJS.ErrnoException).code), {
      hint: 'correct the path, or its permissions',
      cause: error,
    })
  }
}
