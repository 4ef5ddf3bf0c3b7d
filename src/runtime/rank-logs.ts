import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import { StringDecoder } from 'node:string_decoder'
import { type RecordedFailure, rankLog } from './failure.js'

/** Number of characters of a rank's output that are kept to explain its end. */
const KEPT_CHARACTERS = 64 * 1024
const MAX_LINE_CHARACTERS = 1024 * 1024
const READ_BYTES = 256 * 1024
/** Path of a rank's log, relative to the folder of logs. */
const RANK_LOG = /^node-\d+\/rank-\d+\/output\.log$/
/** Prefix that PyTorch puts before each line of an uncaught exception. */
const PREFIX = /^\[rank\d+\]: ?/gm
const TRACEBACK = 'Traceback (most recent call last):'

/** Follows the logs that the ranks of this node write (`node-N/rank-R/output.log`). */
export interface RankLogs {
  /** Read the new output; return whether there was any. */
  read(): Promise<boolean>
  /** Read the rest, including a last line without an end. */
  close(): Promise<void>
  /** Return the last exception of each rank's log, in the order of the ranks. */
  failures(): RecordedFailure[]
}

/** Return whether any rank, of any node, has a log in this folder. */
export async function hasRankLogs(logDirectory: string): Promise<boolean> {
  const names = await readdir(logDirectory, { recursive: true }).catch(() => [] as string[])
  return names.some((name) => RANK_LOG.test(name))
}

/** Open the logs at their present end, because an earlier attempt wrote into them too. */
export async function openRankLogs(
  logDirectory: string,
  node: number,
  ranks: readonly number[],
  onLine: (rank: number, text: string) => void,
): Promise<RankLogs> {
  const logs = await Promise.all(
    ranks.map(async (rank) => {
      const path = rankLog(logDirectory, node, rank)
      const start = await stat(path).then(
        ({ size }) => size,
        () => 0,
      )
      return new RankLog(path, start, (text) => onLine(rank, text))
    }),
  )
  return {
    read: async () => (await Promise.all(logs.map((log) => log.read()))).some(Boolean),
    close: async () => {
      await Promise.all(logs.map((log) => log.close()))
    },
    failures: () =>
      logs.flatMap(({ text }, at) => {
        const found = lastException(text)
        return found === null ? [] : [{ rank: ranks[at]!, kind: 'runtime', hint: '', time: 0, ...found }]
      }),
  }
}

class RankLog {
  /** End of the rank's output. */
  text = ''
  #file: FileHandle | null = null
  readonly #decoder = new StringDecoder('utf8')
  readonly #buffer = Buffer.alloc(READ_BYTES)
  #line = ''

  constructor(
    private readonly path: string,
    private position: number,
    private readonly onLine: (text: string) => void,
  ) {}

  async read(): Promise<boolean> {
    this.#file ??= await open(this.path).catch(() => null)
    if (this.#file === null) return false
    let any = false
    for (;;) {
      const { bytesRead } = await this.#file.read(this.#buffer, 0, READ_BYTES, this.position)
      if (bytesRead === 0) return any
      any = true
      this.position += bytesRead
      this.#take(this.#decoder.write(this.#buffer.subarray(0, bytesRead)))
    }
  }

  async close(): Promise<void> {
    await this.read()
    if (this.#line !== '') this.onLine(this.#line)
    this.#line = ''
    await this.#file?.close()
    this.#file = null
  }

  #take(chunk: string): void {
    this.text = (this.text + chunk).slice(-KEPT_CHARACTERS)
    const lines = (this.#line + chunk).split('\n')
    // a progress bar is one endless line: keep only its end
    this.#line = lines.pop()!.slice(-MAX_LINE_CHARACTERS)
    for (const line of lines) this.onLine(line.replace(/\r$/, ''))
  }
}

/** Return the last Python traceback in a text, and the line that names the exception. */
export function lastException(text: string): { readonly message: string; readonly traceback: string } | null {
  const plain = text.replace(PREFIX, '')
  const at = plain.lastIndexOf(TRACEBACK)
  if (at < 0) return null
  const lines = plain.slice(at).split('\n')
  const end = lines.findIndex((line, place) => place > 0 && /^\S/.test(line))
  // truncated: the rank was killed during the write
  if (end < 0) return null
  return { message: lines[end]!.trim(), traceback: lines.slice(0, end + 1).join('\n') }
}
