import { readdir, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { UsageError } from '../errors.js'

/**
 * Return the real path; of a path that does not exist, that of its nearest folder with the rest.
 * @throws UsageError if a folder on the way cannot be read
 */
export async function realTarget(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (!['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(code) || dirname(path) === path)
      throw new UsageError(`${path}: cannot be read (${code})`, { hint: 'correct its permissions' })
    return join(await realTarget(dirname(path)), basename(path))
  }
}

/**
 * Return a symbolic link below a folder whose target is not inside; null if there is none. Links to other folders are
 * followed. Hidden entries are skipped: they hold no scans, and environments of Python link to its program.
 * @param folder a file, or a path that does not exist, has no links
 */
export async function findLinkOut(
  folder: string,
  inside: (real: string) => boolean,
  seen = new Set<string>(),
): Promise<string | null> {
  if (seen.has(folder)) return null
  seen.add(folder)
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    if (entry.name.startsWith('.') || !(entry.isDirectory() || entry.isSymbolicLink())) continue
    const named = join(folder, entry.name)
    const real = entry.isSymbolicLink() ? await realTarget(named) : named
    if (!inside(real)) return named
    const found = await findLinkOut(real, inside, seen)
    if (found !== null) return found
  }
  return null
}

/** Return a function that returns whether the target of a path is inside. It reads each folder once. */
export function targetsInside(inside: (real: string) => boolean): (path: string) => Promise<boolean> {
  const folders = new Map<
    string,
    Promise<{ readonly inside: boolean; readonly links: ReadonlySet<string> }>
  >()
  const read = async (folder: string) => {
    const real = await realTarget(folder)
    if (!inside(real)) return { inside: false, links: new Set<string>() }
    const entries = await readdir(real, { withFileTypes: true }).catch(() => [])
    const links = entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name)
    return { inside: true, links: new Set(links) }
  }
  return async (path) => {
    const folder = dirname(path)
    const found = folders.get(folder) ?? read(folder)
    folders.set(folder, found)
    const { inside: known, links } = await found
    return known && (!links.has(basename(path)) || inside(await realTarget(path)))
  }
}
