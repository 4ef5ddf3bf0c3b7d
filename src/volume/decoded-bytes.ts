import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { constants, createGunzip } from 'node:zlib'
import { readProblem } from '../system-errors.js'
import { refusal } from './nifti-header.js'

const FETCH = 'copy or download the file again'
/** Upper limit of deflate: a header that promises more than this number of bytes per stored byte is wrong. */
const MAX_INFLATION = 1032

export interface StoredFile {
  readonly handle: FileHandle
  readonly name: string
  readonly bytes: number
  /** Detected by its first bytes, not by its name. */
  readonly compressed: boolean
}

/**
 * Return the first decoded bytes of the file; fewer if it has fewer.
 * @param least if fewer bytes arrive, the file is read to its end, because it may be damaged
 * @throws DataError `truncated` or `corruptGzip`
 */
export async function readStart(file: StoredFile, length: number, least: number): Promise<Uint8Array> {
  const start = await firstBytes(file, length, 'start')
  return start.length < least ? firstBytes(file, length, 'all') : start
}

async function firstBytes(file: StoredFile, length: number, part: 'start' | 'all'): Promise<Uint8Array> {
  const start = new Uint8Array(length)
  let filled = 0
  for await (const chunk of decodedChunks(file, 16 * 1024, part)) {
    start.set(chunk.subarray(0, length - filled), filled)
    filled = Math.min(length, filled + chunk.length)
    if (filled === length) break
  }
  return start.subarray(0, filled)
}

/**
 * Refuse a file that cannot hold `total` decoded bytes, before memory is allocated for them.
 * @throws DataError `truncated` or `trailingData`
 */
export function expectBytes(file: StoredFile, total: number): void {
  if (file.bytes * (file.compressed ? MAX_INFLATION : 1) < total) throw truncated(file, file.bytes, total)
  if (!file.compressed && file.bytes > total) throw trailing(file, total)
}

/**
 * Read the decoded bytes from `offset` into `target`; they must fill it and be the last bytes of the file.
 * Further bytes are never held, so a small file cannot unfold into a large one.
 * @throws DataError `truncated`, `trailingData` or `corruptGzip` (checksum and end of stream are required)
 */
export async function readRest(file: StoredFile, offset: number, target: Uint8Array): Promise<void> {
  await readExactly(file, offset + target.length, (chunk, position) => {
    const skipped = Math.min(chunk.length, Math.max(0, offset - position))
    if (skipped < chunk.length) target.set(chunk.subarray(skipped), position + skipped - offset)
  })
}

/**
 * Pass all decoded bytes on, some at a time. The file must have exactly `total` of them.
 * @param take is called with the position of each chunk; the chunk is valid until it returns
 * @throws DataError as `readRest`
 */
export async function readExactly(
  file: StoredFile,
  total: number,
  take: (chunk: Uint8Array, position: number) => void,
): Promise<void> {
  let position = 0
  for await (const chunk of decodedChunks(file, 1024 * 1024, 'all')) {
    if (position + chunk.length > total) throw trailing(file, total)
    take(chunk, position)
    position += chunk.length
  }
  if (position < total) throw truncated(file, position, total)
}

/**
 * Read the file to its end, and keep nothing: damage anywhere is found.
 * @throws DataError as `readRest`, and `trailingData` above `most` bytes
 */
export async function readThrough(file: StoredFile, most: number): Promise<void> {
  let position = 0
  for await (const chunk of decodedChunks(file, 64 * 1024, 'all')) {
    position += chunk.length
    if (position > most) throw trailing(file, most)
  }
}

/**
 * Yield decoded chunks. With 'all', the end of the stream and its checksum are required; with 'start', the
 * caller stops earlier.
 */
async function* decodedChunks(
  file: StoredFile,
  chunkBytes: number,
  part: 'start' | 'all',
): AsyncGenerator<Uint8Array> {
  yield* file.compressed ? inflatedChunks(file, chunkBytes, part) : storedChunks(file, chunkBytes)
}

async function* storedChunks(file: StoredFile, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await file.handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

async function* inflatedChunks(
  file: StoredFile,
  chunkBytes: number,
  part: 'start' | 'all',
): AsyncGenerator<Uint8Array> {
  const { Z_SYNC_FLUSH, Z_FINISH } = constants
  const gunzip = createGunzip({
    chunkSize: chunkBytes,
    finishFlush: part === 'all' ? Z_FINISH : Z_SYNC_FLUSH,
  })
  const stored = Readable.from(storedChunks(file, chunkBytes), { objectMode: false })
  stored.on('error', (error) => gunzip.destroy(error))
  stored.pipe(gunzip)
  try {
    yield* gunzip
  } catch (error) {
    throw asRefusal(error, file)
  } finally {
    stored.destroy()
    gunzip.destroy()
  }
  // Node ignores zeros behind the stream without an error
  if (part === 'all' && gunzip.bytesWritten !== file.bytes)
    throw refusal('corruptGzip', file.name, 'other bytes follow the compressed data', FETCH)
}

function asRefusal(error: unknown, file: StoredFile): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (code === 'Z_BUF_ERROR')
    return refusal('truncated', file.name, 'the compressed data are truncated', FETCH, error)
  if (code.startsWith('Z_'))
    return refusal('corruptGzip', file.name, 'the compressed data are damaged', FETCH, error)
  return refusal(
    'unreadable',
    file.name,
    readProblem(code || String(error)),
    'check the disk and the permissions',
    error,
  )
}

function truncated(file: StoredFile, found: number, expected: number) {
  return refusal(
    'truncated',
    file.name,
    `truncated (expected ${expected} bytes by its header, found ${found})`,
    FETCH,
  )
}

function trailing(file: StoredFile, expected: number) {
  return refusal(
    'trailingData',
    file.name,
    `too long (expected ${expected} bytes by its header, found more)`,
    FETCH,
  )
}
