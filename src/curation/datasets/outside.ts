import { realpath } from 'node:fs/promises'
import { isAbsolute, relative, resolve } from 'node:path'
import { DataError } from '../../errors.js'

/**
 * Return a function that checks by name whether a path lies in one of the folders. Symbolic links inside a
 * folder may lead anywhere, because the owner of the folder made them; a list may come from a stranger.
 */
export async function boundsOf(folders: readonly string[]): Promise<(path: string) => boolean> {
  // a list may also name the target of a link that is the folder itself
  const real = await Promise.all(folders.map((folder) => realpath(folder).catch(() => folder)))
  const roots = [...folders, ...real].map((folder) => resolve(folder))
  return (path) => roots.some((root) => isWithin(root, path))
}

function isWithin(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way)
}

/**
 * Return the error of a file outside the allowed folders.
 * @param where the list and its entry
 */
export function outsideError(where: string, path: string, root: string): DataError {
  return new DataError(`${where}: ${path} lies outside ${root}`, {
    hint: 'if you trust this list, pass --allow-outside or set data.allowOutside: true',
    facts: { path },
  })
}
