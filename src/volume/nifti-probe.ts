import { createHash } from 'node:crypto'
import { constants, gunzipSync } from 'node:zlib'
import { withStoredFile } from './nifti.js'
import { MAX_HEADER_BYTES, type NiftiHeader, parseNiftiHeader, refusal } from './nifti-header.js'

const END_BYTES = 4096
/**
 * Enough compressed bytes for a header behind the longest file name of gzip. More would be inflated in vain.
 */
const HEADER_STORED_BYTES = 1024

export interface FileEnds {
  readonly bytes: number
  /**
   * `ends:` and a SHA-256 of size, first and last 4 KB. A gzip file ends with the checksum of its content, so
   * files with other content differ. Uncompressed files with other content may have equal digests.
   */
  readonly digest: string
}

/**
 * Return size and digest of a file without reading it completely: for lists of thousands.
 * @throws DataError as `readNifti`
 */
export async function probeFile(file: string): Promise<FileEnds> {
  const { bytes, digest } = await readEnds(file)
  return { bytes, digest }
}

/**
 * Return header, size and digest of a file.
 * @throws DataError as `readNifti`, except for faults in the voxels
 */
export async function probeNifti(file: string): Promise<FileEnds & { readonly header: NiftiHeader }> {
  const { bytes, digest, start, compressed } = await readEnds(file)
  return { bytes, digest, header: parseNiftiHeader(compressed ? inflated(start, file) : start, file) }
}

function readEnds(file: string) {
  return withStoredFile(file, {}, async ({ handle, bytes, compressed }) => {
    const ends = Buffer.alloc(2 * END_BYTES)
    const { bytesRead } = await handle.read(ends, 0, END_BYTES, 0)
    const rest = await handle.read(ends, bytesRead, END_BYTES, Math.max(bytesRead, bytes - END_BYTES))
    const hash = createHash('sha256').update(`${bytes} `)
    hash.update(ends.subarray(0, bytesRead + rest.bytesRead))
    return { bytes, digest: `ends:${hash.digest('hex')}`, start: ends.subarray(0, bytesRead), compressed }
  })
}

function inflated(stored: Uint8Array, file: string): Uint8Array {
  try {
    const start = stored.subarray(0, HEADER_STORED_BYTES)
    return gunzipSync(start, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, MAX_HEADER_BYTES)
  } catch (error) {
    throw refusal(
      'corruptGzip',
      file,
      'the compressed data are damaged',
      'copy or download the file again',
      error,
    )
  }
}
