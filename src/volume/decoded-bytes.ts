import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { constants, createGunzip } from 'node:zlib'
import { refusal } from './nifti-header.js'

const FETCH = 'copy or download it again'
/** Deflate cannot do better, so a header that promises more than this many bytes a stored byte lies. */
const MAX_INFLATION = 1032

export interface StoredFile {
  readonly handle: FileHandle
  readonly name: string
  readonly bytes: number
  /** By its first bytes, whatever its name says. */
  readonly compressed: boolean
}

/**
 * The first bytes of what the file holds decoded; fewer when it holds fewer.
 * @param least fewer than this may be all there are or all that is left of a damaged file: then its end is asked
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
 * Refuses a file that cannot hold `total` decoded bytes, before anything is allocated for them.
 * @throws DataError `truncated` or `trailingData`
 */
export function expectBytes(file: StoredFile, total: number): void {
  if (file.bytes * (file.compressed ? MAX_INFLATION : 1) < total) throw truncated(file, file.bytes, total)
  if (!file.compressed && file.bytes > total) throw trailing(file, total)
}

/**
 * The decoded bytes from `offset` on, which must fill `target` and be the last ones of the file. Nothing beyond them is
 * ever held, so a small file cannot unfold into a large one.
 * @throws DataError `truncated`, `trailingData` or `corruptGzip` (checksum and end of stream are required)
 */
export async function readRest(file: StoredFile, offset: number, target: Uint8Array): Promise<void> {
  const total = offset + target.length
  let position = 0
  for await (const chunk of decodedChunks(file, 1024 * 1024, 'all')) {
    if (position + chunk.length > total) throw trailing(file, total)
    const skipped = Math.min(chunk.length, Math.max(0, offset - position))
    if (skipped < chunk.length) target.set(chunk.subarray(skipped), position + skipped - offset)
    position += chunk.length
  }
  if (position < total) throw truncated(file, position, total)
}

/** Of 'all' the end of the stream and its checksum are required; who asks for the 'start' leaves before. */
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
  // Node stops without a word at zeros behind the stream.
  if (part === 'all' && gunzip.bytesWritten !== file.bytes)
    throw refusal('corruptGzip', file.name, 'has other bytes behind its compressed data', FETCH)
}

function asRefusal(error: unknown, file: StoredFile): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (code === 'Z_BUF_ERROR')
    return refusal('truncated', file.name, 'its compressed data stop before their end', FETCH, error)
  if (code.startsWith('Z_'))
    return refusal('corruptGzip', file.name, 'its compressed data are damaged', FETCH, error)
  return refusal(
    'unreadable',
    file.name,
    `cannot be read (${code || String(error)})`,
    'check the disk and the permissions',
    error,
  )
}

function truncated(file: StoredFile, found: number, expected: number) {
  return refusal('truncated', file.name, `holds ${found} bytes of the ${expected} its header promises`, FETCH)
}

function trailing(file: StoredFile, expected: number) {
  return refusal('trailingData', file.name, `goes on behind the ${expected} bytes its header promises`, FETCH)
}
