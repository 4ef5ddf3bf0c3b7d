import { createHash } from 'node:crypto'
import { constants, gunzipSync } from 'node:zlib'
import { withStoredFile } from './nifti.js'
import { MAX_HEADER_BYTES, type NiftiHeader, parseNiftiHeader, refusal } from './nifti-header.js'

const END_BYTES = 4096
/** A header, compressed, behind the longest file name that gzip writes before it. More would inflate for nothing. */
const HEADER_STORED_BYTES = 1024

export interface FileEnds {
  readonly bytes: number
  /**
   * `ends:` and a SHA-256 of size, first and last 4 KB. The end of a gzip file is the checksum of all it holds, so files
   * of other content differ here, too; an uncompressed file may not.
   */
  readonly digest: string
}

/** What the ends of a file tell, without reading the rest: for lists of thousands. @throws DataError as `readNifti` */
export async function probeFile(file: string): Promise<FileEnds> {
  const { bytes, digest } = await readEnds(file)
  return { bytes, digest }
}

/** As `probeFile`, with the header. @throws DataError as `readNifti`, but for what only the voxels show */
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
    throw refusal('corruptGzip', file, 'its compressed data are damaged', 'copy or download it again', error)
  }
}
