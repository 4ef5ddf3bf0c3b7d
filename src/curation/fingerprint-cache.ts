import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { VoxelMemory } from '../volume/nifti.js'
import { makeFolder, writeWhole } from '../whole-file.js'
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

/**
 * The fingerprint of a scan, made once and kept in `directory` under a hash of its path.
 * @throws DataError for a file that is no readable volume
 */
export async function cachedFingerprint(
  image: string,
  directory: string,
  memory: VoxelMemory,
): Promise<Fingerprint> {
  const file = placeOf(image, directory)
  const found = await stat(image).catch(() => null)
  const known = found && (await readCached(file))
  if (known && known.bytes === found.size && known.changedMs === found.mtimeMs) return known.fingerprint
  const fingerprint = await fingerprintOf(image, memory)
  if (found) await writeCached(file, { bytes: found.size, changedMs: found.mtimeMs, fingerprint })
  return fingerprint
}

/** By the path's hash: a file name may name a patient. */
function placeOf(image: string, directory: string): string {
  return join(directory, `${createHash('sha256').update(resolve(image)).digest('hex').slice(0, 32)}.json`)
}

/** Null for what is missing, damaged or of another version: it is made again. */
async function readCached(file: string): Promise<CachedFingerprint | null> {
  try {
    const cached = JSON.parse(await readFile(file, 'utf8')) as CachedFingerprint
    return cached.fingerprint.version === FINGERPRINT_VERSION ? cached : null
  } catch {
    return null
  }
}

async function writeCached(file: string, cached: CachedFingerprint): Promise<void> {
  await makeFolder(dirname(file))
  await writeWhole(file, JSON.stringify(cached))
}
