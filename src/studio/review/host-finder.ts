import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { FileHashes } from './file-hash.js'

const MAX_LEVELS = 6
const MAX_FILES = 200_000
/** Most files of one name whose hash is compared. */
const MAX_CANDIDATES = 20
/** A search this old is repeated when a host is not found. */
const AGAIN_MS = 10_000

export interface FoundFile {
  readonly root: string
  readonly path: string
}

/** Finds host CTs below the given folders by name and SHA-256, so that a moved or edited scan is never taken for a host. */
export class HostFinder {
  #byName: Promise<ReadonlyMap<string, readonly FoundFile[]>> | null = null
  #searchedAt = Number.NEGATIVE_INFINITY

  /** @param roots real paths */
  constructor(
    readonly roots: readonly string[],
    private readonly hashes: FileHashes,
  ) {}

  /**
   * Return the file of a host; null if no file of its name below the folders has the hash.
   * @param named where the host was; null if unknown
   */
  async find(caseId: string, sha256: string, named: FoundFile | null = null): Promise<FoundFile | null> {
    if (named !== null && (await this.#hashOf(named)) === sha256) return named
    const name = caseId.split('/').at(-1)!
    if (this.#byName === null) await this.#search()
    const found = await this.#among(name, sha256)
    if (found !== null || performance.now() - this.#searchedAt < AGAIN_MS) return found
    await this.#search()
    return await this.#among(name, sha256)
  }

  async #among(name: string, sha256: string): Promise<FoundFile | null> {
    const candidates = (await this.#byName)?.get(name) ?? []
    for (const file of candidates.slice(0, MAX_CANDIDATES))
      if ((await this.#hashOf(file)) === sha256) return file
    return null
  }

  #hashOf({ root, path }: FoundFile): Promise<string | null> {
    return this.hashes.of(root, path).catch(() => null)
  }

  async #search(): Promise<void> {
    this.#searchedAt = performance.now()
    this.#byName = volumesBelow(this.roots)
    await this.#byName
  }
}

/** Return the volumes by the names that a case may have from them: their stem, and the name of their folder. */
async function volumesBelow(roots: readonly string[]): Promise<Map<string, FoundFile[]>> {
  const found = new Map<string, FoundFile[]>()
  let files = 0
  const note = (name: string, file: FoundFile): void => {
    const named = found.get(name)
    if (named === undefined) found.set(name, [file])
    else named.push(file)
  }
  const search = async (root: string, folder: string, levels: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      if (files >= MAX_FILES) return
      const path = join(folder, entry.name)
      if (entry.isDirectory() && levels > 0) await search(root, path, levels - 1)
      const stem = /^(.+)\.nii(?:\.gz)?$/i.exec(entry.name)?.[1]
      if (!entry.isFile() || stem === undefined) continue
      files++
      const names = new Set([stem, stem.replace(/_0000$/, ''), basename(folder)])
      for (const name of names) note(name, { root, path })
    }
  }
  for (const root of roots) await search(root, root, MAX_LEVELS)
  return found
}
