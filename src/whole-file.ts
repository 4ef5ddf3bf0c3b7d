import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { access, mkdir, mkdtemp, open, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { EnvironmentError } from './errors.js'
import { cannotBeRead, typedSystemError } from './system-errors.js'

/** Names of the temporary files of an interrupted `writeWhole`, in this and older versions. */
const UNFINISHED = /\.tmp(\.[0-9a-f]+)?$/

/**
 * Write a file completely or not at all: to a temporary name, synced to disk, then renamed. The
 * temporary name is random, because process ids repeat between containers that share a folder.
 * Another node that resumes a run in the folder may sweep the temporary file away: it is then written again.
 * @param content its parts are written one after the other, so that a large file is never in memory as a whole
 * @param mode permissions of a new file
 * @throws EnvironmentError that names the file and the reason (disk full, no permission); the temporary file
 * is removed
 */
export async function writeWhole(
  path: string,
  content: string | Uint8Array | Iterable<string>,
  mode = 0o666,
): Promise<void> {
  const isRepeatable = typeof content === 'string' || content instanceof Uint8Array
  const parts = isRepeatable ? [content] : content
  for (let attempt = 1; !(await writeAside(path, parts, mode)); attempt++)
    if (!isRepeatable || attempt === MOST_ATTEMPTS)
      throw new EnvironmentError(`${path}: cannot be written (another process removed its temporary file)`, {
        hint: 'end the other process that cleans up the folder',
      })
  await syncFolder(dirname(path))
}

/** Attempts after which the temporary file is not swept away by chance. */
const MOST_ATTEMPTS = 5

/** Write a file under a temporary name and rename it. Return false if another process has removed the temporary file. */
async function writeAside(
  path: string,
  parts: Iterable<string | Uint8Array>,
  mode: number,
): Promise<boolean> {
  const aside = temporaryName(path)
  try {
    const file = await open(aside, 'wx', mode)
    try {
      for (const part of parts) await file.writeFile(part)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {})
    throw typedSystemError(error, path)
  }
  try {
    await rename(aside, path)
    return true
  } catch (error) {
    const isSwept = (error as NodeJS.ErrnoException).code === 'ENOENT' && !(await exists(aside))
    if (isSwept && (await exists(dirname(path)))) return false
    await rm(aside, { force: true }).catch(() => {})
    throw typedSystemError(error, path)
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

/**
 * Check that a file can be written, before long work and without creating its folder: write 1 MiB to the folder, or to the
 * nearest folder above it that exists, and remove it.
 * @throws EnvironmentError that names the file and the reason
 */
export async function refuseUnwritable(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found?.isDirectory()) throw typedSystemError(systemError('EISDIR'), path)
  await tryWriting(dirname(path), basename(path), path)
}

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code })
}

/** Return a name in the same folder that no other writer uses. */
export function temporaryName(path: string): string {
  return `${path}.tmp.${randomBytes(8).toString('hex')}`
}

/**
 * Remove the temporary files of interrupted writers from a folder; a missing folder counts as empty.
 * @param of names of the files that were written, in a folder with files of other programs. Default: all
 */
export async function sweepUnfinished(folder: string, of: readonly string[] = ['']): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[])
  const isOurs = (name: string) => UNFINISHED.test(name) && of.some((one) => name.startsWith(one))
  try {
    for (const name of names.filter(isOurs)) await rm(join(folder, name), { recursive: true, force: true })
  } catch (error) {
    throw typedSystemError(error, folder)
  }
}

/**
 * Create a folder and its parents; a folder that exists stays as it is. Node's own recursive `mkdir` never ends where
 * the file system refuses new folders with ENOENT, as /proc and automounts do: create every folder with this function.
 * @param mode permissions of new folders
 * @throws EnvironmentError that names the folder and the reason
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  await makeWithParents(resolve(path), mode).catch((error: unknown) => {
    throw typedSystemError(error, path)
  })
}

/**
 * Write a file or folder whose parents may be missing: create them, call `write`, and remove those that were missing if it
 * fails.
 * @throws the error of `write`; EnvironmentError that names the path if its parents cannot be created
 */
export async function makingParents<T>(path: string, write: () => Promise<T>): Promise<T> {
  const made: string[] = []
  try {
    await makeWithParents(dirname(resolve(path)), 0o777, made).catch((error: unknown) => {
      throw typedSystemError(error, path)
    })
    return await write()
  } catch (error) {
    // only an empty folder is removed
    for (const folder of made.reverse()) await rmdir(folder).catch(() => {})
    throw error
  }
}

/**
 * Write a folder completely or not at all: let `write` fill a temporary folder next to it, then rename that. Missing parents
 * are created. A folder that exists must be empty: else it is refused before `write`.
 * @throws EnvironmentError that names the folder and the reason, and the errors of `write`; nothing is left then
 */
export async function writeWholeFolder<T>(path: string, write: (folder: string) => Promise<T>): Promise<T> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw typedSystemError(error, path)
  })
  if (names.length > 0) throw typedSystemError(systemError('ENOTEMPTY'), path)
  return await makingParents(path, async () => {
    const aside = temporaryName(path)
    try {
      await mkdir(aside)
      const result = await write(aside)
      await rename(aside, path)
      return result
    } catch (error) {
      await rm(aside, { recursive: true, force: true }).catch(() => {})
      throw typedSystemError(error, path)
    }
  })
}

/** @param made receives the folders that were missing, the upper ones first */
async function makeWithParents(folder: string, mode: number, made: string[] = []): Promise<void> {
  const first = await makeOne(folder, mode, made)
  if (first === null) return
  if (first.code !== 'ENOENT' || dirname(folder) === folder) throw first
  await makeWithParents(dirname(folder), mode, made)
  const second = await makeOne(folder, mode, made)
  if (second !== null) throw second
}

/** Create one folder. Return the error, ENOTDIR for a file of this name; null if the folder exists now. */
async function makeOne(folder: string, mode: number, made: string[]): Promise<NodeJS.ErrnoException | null> {
  return await mkdir(folder, { mode }).then(
    () => {
      made.push(folder)
      return null
    },
    async (error) => {
      const found = await stat(folder).catch(() => null)
      return found === null ? error : found.isDirectory() ? null : systemError('ENOTDIR')
    },
  )
}

/** Create a folder and its parents, as `makeFolder` does, where the caller cannot wait. @throws the error of the system */
export function makeFolderSync(path: string, mode = 0o777): void {
  const folder = resolve(path)
  const first = makeOneSync(folder, mode)
  if (first === null) return
  if (first.code !== 'ENOENT' || dirname(folder) === folder) throw first
  makeFolderSync(dirname(folder), mode)
  const second = makeOneSync(folder, mode)
  if (second !== null) throw second
}

function makeOneSync(folder: string, mode: number): NodeJS.ErrnoException | null {
  try {
    mkdirSync(folder, { mode })
    return null
  } catch (error) {
    const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory()
    return isFolder ? null : (error as NodeJS.ErrnoException)
  }
}

/**
 * Check that a folder can be created and written, as `refuseUnwritable` does for a file.
 * @param named path that an error names. Default: the folder
 * @throws EnvironmentError that names the path and the reason
 */
export async function refuseUnwritableFolder(path: string, named = path): Promise<void> {
  await tryWriting(path, 'probe', named)
}

/** Free space for the results that a command writes at its end: figures, tables and a page. */
const RESULT_BYTES = 2 ** 20

/** Write a file to a folder, or to the nearest folder above it that exists, and remove it. An error names `path`. */
async function tryWriting(folder: string, name: string, path: string): Promise<void> {
  try {
    const probe = temporaryName(join(await nearestExisting(resolve(folder)), name))
    try {
      await writeFile(probe, new Uint8Array(RESULT_BYTES), { flag: 'wx' })
    } finally {
      await rm(probe, { force: true }).catch(() => {})
    }
  } catch (error) {
    throw typedSystemError(error, path)
  }
}

/** Return the folder, or the nearest one above it that exists. */
async function nearestExisting(folder: string): Promise<string> {
  const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
    const isMissing = error.code === 'ENOENT' || error.code === 'ENOTDIR'
    if (isMissing && dirname(folder) !== folder) return null
    throw error
  })
  if (found === null) return await nearestExisting(dirname(folder))
  if (!found.isDirectory()) throw systemError('ENOTDIR')
  return folder
}

/**
 * Create a folder if 1 MiB can be written there, so that a full or read-only disk fails before the work starts and leaves no
 * folder behind.
 * @throws EnvironmentError that names the folder and the reason
 */
export async function makeWritableFolder(path: string): Promise<void> {
  await refuseUnwritableFolder(path)
  await makeFolder(path)
}

/**
 * Create a private folder below the system's temporary folder.
 * @throws EnvironmentError if that is missing, read-only or full
 */
export async function makeTemporaryFolder(prefix: string): Promise<string> {
  const root = tmpdir()
  return await mkdtemp(join(root, prefix)).catch((error: NodeJS.ErrnoException) => {
    const missing = error.code === 'ENOENT'
    const typed = typedSystemError(error, root)
    const reason = missing ? cannotBeRead(root, 'ENOENT', 'temporary folder') : (typed as Error).message
    throw new EnvironmentError(reason, { hint: 'set TMPDIR to a folder that can be written', cause: error })
  })
}

/** Sync a folder, so that a rename survives a power failure; ignored by file systems without support. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => {})
  await handle?.close()
}
