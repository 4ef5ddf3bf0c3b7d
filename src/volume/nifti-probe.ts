import { createHash } from 'node:crypto'
import { constants, gunzipSync } from 'node:zlib'
import { voxelFileOf, withStoredFile } from './nifti.js'
import { MAX_HEADER_BYTES, type NiftiHeader, parseNiftiHeader, refusal } from './nifti-header.js'

const END_BYTES = 4096
/**
 * Enough compressed bytes for a header behind the longest file name of gzip. More would be inflated in vain.
 */
const HEADER_STORED_BYTES = 1024

export interface FileEnds {
  /** Size of the file, or of both files of a pair. */
  readonly bytes: number
  /**
   * `ends:` and a SHA-256 of size, first and last 4 KB, of a pair those of both files. A gzip file ends with the
   * checksum of its content, so files with other content differ. Uncompressed files with other content may have
   * equal digests.
   */
  readonly digest: string
}

/**
 * Return header, size and digest of a scan without reading it completely: for lists of thousands.
 * @throws DataError as `readNifti`, except for faults in the voxels
 */
export async function probeNifti(file: string): Promise<FileEnds & { readonly header: NiftiHeader }> {
  const own = await readEnds(file)
  const header = parseNiftiHeader(own.compressed ? inflated(own.start, file) : own.start, file)
  const parts = header.isPair ? [own, await readEnds(await voxelFileOf(file))] : [own]
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  const hash = createHash('sha256').update(`${bytes} `)
  for (const { ends } of parts) hash.update(ends)
  return { bytes, digest: `ends:${hash.digest('hex')}`, header }
}

function readEnds(file: string) {
  return withStoredFile(file, {}, async ({ handle, bytes, compressed }) => {
    const ends = Buffer.alloc(2 * END_BYTES)
    const { bytesRead } = await handle.read(ends, 0, END_BYTES, 0)
    const rest = await handle.read(ends, bytesRead, END_BYTES, Math.max(bytesRead, bytes - END_BYTES))
    return {
      bytes,
      ends: ends.subarray(0, bytesRead + rest.bytesRead),
      start: ends.subarray(0, bytesRead),
      compressed,
    }
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
