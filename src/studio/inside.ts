import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import { DataError } from '../errors.js'
import { decodeText, parseForeignJson } from '../foreign-text.js'
import { cannotBeRead } from '../system-errors.js'

/** Largest file that is read whole: a failure card, a configuration. */
const MAX_BYTES = 4 * 2 ** 20

/**
 * Return the real path of a file or folder; null if it does not exist.
 * @param root real path of the folder outside which nothing is read
 * @throws DataError if a symbolic link leads out of the root
 */
export async function realPathInside(root: string, path: string): Promise<string | null> {
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw new DataError(cannotBeRead(path, error.code), { hint: 'correct its permissions', cause: error })
  })
  const folder = root.endsWith(sep) ? root : root + sep
  if (real === null || real === root || real.startsWith(folder)) return real
  throw new DataError(`${path}: leads out of ${root} (found ${real})`, {
    hint: 'give `freetumor studio` the folder that the link names',
  })
}

/**
 * Open a regular file below a root; null if it does not exist.
 * @throws DataError if it is no regular file, or leads out of the root
 */
export async function openInside(root: string, path: string): Promise<FileHandle | null> {
  const real = await realPathInside(root, path)
  if (real === null) return null
  // a pipe without a writer would block; a link in the place of the file is refused
  const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      throw new DataError(cannotBeRead(path, error.code), { hint: 'correct its permissions', cause: error })
    },
  )
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new DataError(`${path}: not a regular file`, { hint: 'remove it' })
}

/**
 * Return the text of a file below a root; null if it does not exist.
 * @param maxBytes largest file that is read
 * @throws DataError
 */
export async function readTextInside(
  root: string,
  path: string,
  maxBytes = MAX_BYTES,
): Promise<string | null> {
  await using file = await openInside(root, path)
  if (file === null) return null
  const { size } = await file.stat()
  if (size > maxBytes)
    throw new DataError(`${path}: too large (expected at most ${maxBytes} bytes, found ${size})`, {
      hint: 'remove it',
    })
  return decodeText(await file.readFile(), path)
}

/** Return the parsed JSON of a file below a root; null if it does not exist. @throws DataError */
export async function readJsonInside(root: string, path: string): Promise<unknown> {
  const text = await readTextInside(root, path)
  return text === null ? null : parseForeignJson(text, path)
}
