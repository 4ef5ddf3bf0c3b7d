import { randomBytes } from 'node:crypto'
import { access, mkdir, mkdtemp, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { EnvironmentError } from './errors.js'
import { typedSystemError } from './system-errors.js'

/** Names that an interrupted `writeWhole` leaves, and those of its predecessors. */
const UNFINISHED = /\.tmp(\.[0-9a-f]+)?$/

/**
 * Writes a small file whole or not at all: under a temporary name, synchronized with the disk, then renamed.
 * The temporary name is random: process ids repeat between containers that share a folder.
 * @param mode permissions of a new file
 * @throws EnvironmentError that names the file and the reason (disk full, no permission); no temporary file remains
 */
export async function writeWhole(path: string, content: string | Uint8Array, mode = 0o666): Promise<void> {
  const aside = temporaryName(path)
  try {
    const file = await open(aside, 'wx', mode)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {})
    throw typedSystemError(error, path)
  }
  await syncFolder(dirname(path))
}

/** A name in the same folder that no other writer has. */
export function temporaryName(path: string): string {
  return `${path}.tmp.${randomBytes(8).toString('hex')}`
}

/** Removes what interrupted writers left in a folder; a folder that does not exist holds nothing. */
export async function sweepUnfinished(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[])
  try {
    for (const name of names.filter((one) => UNFINISHED.test(one)))
      await rm(join(folder, name), { recursive: true, force: true })
  } catch (error) {
    throw typedSystemError(error, folder)
  }
}

/** Makes a folder and those above it. @throws EnvironmentError that names the folder and the reason */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch(async (error: NodeJS.ErrnoException) => {
    throw typedSystemError(error.code === 'ENOENT' ? await whyMissing(path, error) : error, path)
  })
}

/**
 * Make a folder and write a byte there, so that a full or read-only disk ends a command before its work.
 * @throws EnvironmentError that names the folder and the reason
 */
export async function makeWritableFolder(path: string): Promise<void> {
  await makeFolder(path)
  const probe = temporaryName(join(path, 'probe'))
  try {
    await writeFile(probe, ' ', { flag: 'wx' })
  } catch (error) {
    throw typedSystemError(error, path)
  } finally {
    await rm(probe, { force: true }).catch(() => {})
  }
}

/** Node answers ENOENT for a read-only disk where several folders are missing: the first of them has the reason. */
async function whyMissing(path: string, error: unknown): Promise<unknown> {
  let missing = path
  for (let above = dirname(missing); above !== missing; above = dirname(missing)) {
    if (
      await access(above).then(
        () => true,
        () => false,
      )
    )
      break
    missing = above
  }
  return await mkdir(missing).then(
    () => error,
    (reason: unknown) => reason,
  )
}

/**
 * Makes a new private folder below the system's temporary one.
 * @throws EnvironmentError when that is missing, read-only or full
 */
export async function makeTemporaryFolder(prefix: string): Promise<string> {
  const root = tmpdir()
  return await mkdtemp(join(root, prefix)).catch((error: NodeJS.ErrnoException) => {
    const missing = error.code === 'ENOENT'
    const typed = typedSystemError(error, root)
    const reason = missing ? `${root}: the temporary folder does not exist` : (typed as Error).message
    throw new EnvironmentError(reason, { hint: 'set TMPDIR to a folder that can be written', cause: error })
  })
}

/** After it the rename survives a power failure; a file system that cannot do it keeps its own promise. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => {})
  await handle?.close()
}
