import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { readForeignJson } from '../../foreign-text.js'
import type { VoxelMemory } from '../../volume/nifti.js'
import { makeFolder, writeWhole } from '../../whole-file.js'
import { FINGERPRINT_VERSION, type Fingerprint, fingerprintOf } from './fingerprint.js'

/** A fingerprint holds as long as the file keeps its size and its time. */
interface CachedFingerprint {
  readonly bytes: number
  readonly changedMs: number
  readonly fingerprint: Fingerprint
}

/** Where fingerprints lie, below the cache of prepared cases. */
export function fingerprintDirectory(cache: string): string {
  return join(resolve(cache), 'fingerprints')
}

/** A fingerprint, and what `keepFingerprint` writes; null when the cache has it already. */
export interface MadeFingerprint {
  readonly fingerprint: Fingerprint
  readonly fresh: CachedFingerprint | null
}

/**
 * Return the fingerprint of a scan: the one kept in `directory`, or a new one. Write nothing.
 * @throws DataError for a file that is no readable volume
 */
export async function keptFingerprint(
  image: string,
  directory: string,
  memory: VoxelMemory,
): Promise<MadeFingerprint> {
  const found = await stat(image).catch(() => null)
  const known = found && (await readCached(placeOf(image, directory)))
  if (known && known.bytes === found.size && known.changedMs === found.mtimeMs)
    return { fingerprint: known.fingerprint, fresh: null }
  const fingerprint = await fingerprintOf(image, memory)
  return {
    fingerprint,
    fresh: found && { bytes: found.size, changedMs: found.mtimeMs, fingerprint },
  }
}

/** By the path's hash: a file name may name a patient. */
function placeOf(image: string, directory: string): string {
  return join(directory, `${createHash('sha256').update(resolve(image)).digest('hex').slice(0, 32)}.json`)
}

/** Null for what is missing, damaged or of another version: it is made again. */
async function readCached(file: string): Promise<CachedFingerprint | null> {
  try {
    const cached = (await readForeignJson(file)) as CachedFingerprint
    return cached.fingerprint.version === FINGERPRINT_VERSION ? cached : null
  } catch {
    return null
  }
}

/** Node reports a parent folder on a read-only file system as ENOENT. */
const READ_ONLY = new Set(['EROFS', 'EACCES', 'EPERM', 'ENOENT'])

function isReadOnly(error: unknown): boolean {
  const { cause } = error as { cause?: NodeJS.ErrnoException }
  return READ_ONLY.has(cause?.code ?? '')
}

/**
 * Keep a new fingerprint in `directory`. A read-only cache is read and not extended.
 * @throws EnvironmentError when the disk is full
 */
export async function keepFingerprint(
  image: string,
  directory: string,
  { fresh }: MadeFingerprint,
): Promise<void> {
  if (fresh === null) return
  const file = placeOf(image, directory)
  try {
    await makeFolder(dirname(file))
    await writeWhole(file, JSON.stringify(fresh))
  } catch (error) {
    if (!isReadOnly(error)) throw error
  }
}
