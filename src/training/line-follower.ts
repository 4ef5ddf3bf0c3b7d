import type { FileHandle } from 'node:fs/promises'
import { stat } from 'node:fs/promises'
import { parseForeignJson } from '../foreign-text.js'

const READ_BYTES = 256 * 1024
/** Longest line that is read. Lines of runs have some hundred bytes. */
const MAX_LINE_BYTES = 1024 * 1024
/** An event nests three levels deep. */
const BOUNDS = { depth: 8, values: 20_000 }

export interface LineSink {
  /** The file was replaced, truncated or removed: the lines that follow are those of another file. */
  reset(): void
  line(value: unknown): void
  /** A line is not JSON, or too long. */
  damaged(): void
}

/**
 * Reads a file with one JSON object per line as it grows, also after another file has replaced it. The file stays open, so
 * no new file can have its inode number.
 */
export class FileFollower {
  #file: FileHandle | null = null
  #position = 0
  #rest: Buffer[] = []
  #restBytes = 0
  #skipping = false
  #polling: Promise<boolean> | null = null
  #closed = false

  /** @param open opens the file; null if it does not exist */
  constructor(
    private readonly open: () => Promise<FileHandle | null>,
    private readonly path: string,
    private readonly sink: LineSink,
  ) {}

  /**
   * Pass the new complete lines to the sink. A missing file has none.
   * @param maxReads number of reads, of 256 KiB each, after which the rest is left for the next call
   * @returns whether the file may have more lines
   */
  poll(maxReads = Number.POSITIVE_INFINITY): Promise<boolean> {
    this.#polling ??= this.#read(maxReads).finally(() => {
      this.#polling = null
    })
    return this.#polling
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#polling?.catch(() => {})
    await this.#file?.close()
    this.#file = null
  }

  async #read(maxReads: number): Promise<boolean> {
    if (await this.#wasReplaced()) {
      await this.#file?.close()
      this.#file = null
      this.#forget()
      this.sink.reset()
    }
    this.#file ??= await this.open()
    if (this.#file === null || (await this.#file.stat()).size <= this.#position) return false
    // only while there is something to read: hundreds of runs are followed
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    for (let reads = 0; reads < maxReads && !this.#closed; reads++) {
      const { bytesRead } = await this.#file.read(buffer, 0, READ_BYTES, this.#position)
      if (bytesRead === 0) return false
      this.#position += bytesRead
      this.#take(buffer.subarray(0, bytesRead))
    }
    return !this.#closed
  }

  async #wasReplaced(): Promise<boolean> {
    if (this.#file === null) return false
    const open = await this.#file.stat()
    const named = await stat(this.path).catch(() => null)
    return named === null || named.ino !== open.ino || named.dev !== open.dev || open.size < this.#position
  }

  #forget(): void {
    this.#position = 0
    this.#rest = []
    this.#restBytes = 0
    this.#skipping = false
  }

  #take(chunk: Buffer): void {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, start)
      if (end < 0) break
      this.#keep(chunk.subarray(start, end))
      this.#endLine()
      start = end + 1
    }
    // the buffer is used again
    this.#keep(Buffer.from(chunk.subarray(start)))
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#skipping) return
    this.#rest.push(part)
    this.#restBytes += part.length
    if (this.#restBytes <= MAX_LINE_BYTES) return
    this.#skipping = true
    this.#rest = []
  }

  #endLine(): void {
    const whole = !this.#skipping
    const text = Buffer.concat(this.#rest).toString('utf8')
    this.#rest = []
    this.#restBytes = 0
    this.#skipping = false
    const value = whole ? parsed(text) : undefined
    if (value === undefined) this.sink.damaged()
    else this.sink.line(value)
  }
}

function parsed(text: string): unknown {
  try {
    return parseForeignJson(text, 'line', BOUNDS)
  } catch {
    return undefined
  }
}
