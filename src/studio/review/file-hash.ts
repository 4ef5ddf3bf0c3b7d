import { createHash } from 'node:crypto'
import { openInside } from '../inside.js'

/** SHA-256 of files, computed once per version of a file and one after another. */
export class FileHashes {
  readonly #known = new Map<string, { readonly stamp: string; readonly sha256: string }>()
  readonly #waiting = new Map<string, Promise<string | null>>()
  #queue: Promise<unknown> = Promise.resolve()
  #generation = 0

  /** Number of hashes so far. */
  get generation(): number {
    return this.#generation
  }

  /** Return the hash of the present version of a file if it is known; start to compute it otherwise. */
  async peek(root: string, path: string): Promise<string | null> {
    const stamp = await stampOf(root, path).catch(() => null)
    const known = this.#known.get(path)
    if (stamp !== null && known?.stamp === stamp) return known.sha256
    if (stamp !== null) void this.of(root, path).catch(() => {})
    return null
  }

  /** Return the hash of a file below a root; null if the file does not exist. @throws DataError */
  of(root: string, path: string): Promise<string | null> {
    const waiting = this.#waiting.get(path)
    if (waiting !== undefined) return waiting
    const work = this.#queue.then(() => this.#compute(root, path)).finally(() => this.#waiting.delete(path))
    this.#waiting.set(path, work)
    this.#queue = work.catch(() => {})
    return work
  }

  async #compute(root: string, path: string): Promise<string | null> {
    await using file = await openInside(root, path)
    if (file === null) return null
    const { size, mtimeMs, ino } = await file.stat()
    const stamp = `${ino}-${size}-${mtimeMs}`
    const known = this.#known.get(path)
    if (known?.stamp === stamp) return known.sha256
    const hash = createHash('sha256')
    for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 1 << 20 }))
      hash.update(chunk as Buffer)
    const sha256 = hash.digest('hex')
    this.#known.set(path, { stamp, sha256 })
    this.#generation++
    return sha256
  }
}

/** Return inode, size and time of a file below a root; null if it does not exist. @throws DataError */
export async function stampOf(root: string, path: string): Promise<string | null> {
  await using file = await openInside(root, path)
  if (file === null) return null
  const { size, mtimeMs, ino } = await file.stat()
  return `${ino}-${size}-${mtimeMs}`
}
