import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readForeignJson } from '../../foreign-text.js'
import type { VoxelMemory } from '../../volume/nifti.js'
import { type FileState, statesOfScan } from '../../volume/scan-files.js'
import { makingParents, writeWhole } from '../../whole-file.js'
import { FINGERPRINT_VERSION, type Fingerprint, fingerprintOf } from './fingerprint.js'

/** A cached fingerprint; valid while the files of the scan keep their sizes and times. */
interface CachedFingerprint {
  readonly bytes: number
  readonly changedMs: number
  /** State of the second file of a pair. */
  readonly voxels?: FileState
  readonly fingerprint: Fingerprint
}

/** Return the folder of fingerprints, below the cache of prepared cases. */
export function fingerprintDirectory(cache: string): string {
  return join(resolve(cache), 'fingerprints')
}

/** A fingerprint, and the content for `keepFingerprint`; null if the cache has it already. */
export interface MadeFingerprint {
  readonly fingerprint: Fingerprint
  readonly fresh: CachedFingerprint | null
}

/**
 * Return the fingerprint of a scan: the cached one of `directory`, or a new one. Write nothing.
 * @throws DataError for a file that is not a readable volume
 */
export async function keptFingerprint(
  image: string,
  directory: string,
  memory: VoxelMemory,
): Promise<MadeFingerprint> {
  const [own, voxels] = await statesOfScan(image)
  const state = { bytes: own!.bytes, changedMs: own!.modifiedMs, ...(voxels && { voxels }) }
  const known = await readCached(placeOf(image, directory))
  if (known) {
    const { fingerprint, ...stated } = known
    if (isDeepStrictEqual(stated, state)) return { fingerprint, fresh: null }
  }
  const fingerprint = await fingerprintOf(image, memory)
  return { fingerprint, fresh: { ...state, fingerprint } }
}

/** Return the cache file of a scan, named by the hash of its path, because a file name may name a patient. */
function placeOf(image: string, directory: string): string {
  return join(directory, `${createHash('sha256').update(resolve(image)).digest('hex').slice(0, 32)}.json`)
}

/** Return a cached fingerprint; null if it is missing, damaged or of another version, so it is recomputed. */
async function readCached(file: string): Promise<CachedFingerprint | null> {
  try {
    const cached = (await readForeignJson(file)) as CachedFingerprint
    return cached.fingerprint.version === FINGERPRINT_VERSION ? cached : null
  } catch {
    return null
  }
}

/** Errors of a read-only file system; Node reports ENOENT for a parent folder there. */
const READ_ONLY = new Set(['EROFS', 'EACCES', 'EPERM', 'ENOENT'])

function isReadOnly(error: unknown): boolean {
  const { cause } = error as { cause?: NodeJS.ErrnoException }
  return READ_ONLY.has(cause?.code ?? '')
}

/**
 * Write a new fingerprint to `directory`. A read-only cache is not extended.
 * @throws EnvironmentError if the disk is full
 */
export async function keepFingerprint(
  image: string,
  directory: string,
  { fresh }: MadeFingerprint,
): Promise<void> {
  if (fresh === null) return
  const file = placeOf(image, directory)
  try {
    await makingParents(file, () => writeWhole(file, JSON.stringify(fresh)))
  } catch (error) {
    if (!isReadOnly(error)) throw error
  }
}
