import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { access, rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { DataError } from './errors.js'
import { parseForeignJson } from './foreign-text.js'
import { typedSystemError } from './system-errors.js'
import { temporaryName } from './whole-file.js'

/** An append-only file with one JSON object per line. */
export interface JsonLog<T> extends AsyncDisposable {
  /**
   * Append a line. Lines are buffered; their order is kept.
   * @throws EnvironmentError once if an earlier line could not be written, here or in `close`
   */
  write(line: T): void
  /**
   * Resolve when all written lines are with the operating system: killing this process loses none of them.
   */
  flush(): Promise<void>
  /** Resolve when all lines are in the file. */
  close(): Promise<void>
}

export interface JsonLogOptions<T> {
  /**
   * Select the lines of an existing file to keep. Default: all. A partially written last line is always
   * dropped.
   */
  readonly keep?: (line: T) => boolean
}

/**
 * Open a log for appending. A partially written last line is removed first.
 * @throws DataError if another line is damaged
 */
export async function openJsonLog<T>(path: string, options: JsonLogOptions<T> = {}): Promise<JsonLog<T>> {
  await cutJsonLog(path, options.keep ?? (() => true))
  const stream = createWriteStream(path, { flags: 'a' })
  await once(stream, 'open').catch((error: unknown) => {
    throw typedSystemError(error, path)
  })
  let failure: Error | null = null
  stream.on('error', (error: NodeJS.ErrnoException) => {
    failure = typedSystemError(error, path) as Error
  })
  const throwFailure = (): void => {
    const found = failure
    failure = null
    if (found) throw found
  }
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()))
  const close = async (): Promise<void> => {
    // the callback of `end` would come before the error of the last write
    stream.end()
    await closed
    throwFailure()
  }
  return {
    write: (line) => {
      throwFailure()
      if (stream.writable) stream.write(`${JSON.stringify(line)}\n`)
    },
    flush: () => new Promise((resolve) => (stream.writable ? stream.write('', () => resolve()) : resolve())),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/**
 * Read a log line by line; a partially written last line is skipped.
 * @throws DataError if another line is damaged
 */
export async function* readJsonLog<T>(path: string): AsyncIterable<T> {
  for await (const { value } of wholeLines<T>(path)) yield value
}

/** Rewrite a log with the complete lines to keep; a missing file stays missing. */
async function cutJsonLog<T>(path: string, keep: (line: T) => boolean): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  )
  if (!exists) return
  const kept = async function* (): AsyncIterable<string> {
    for await (const { text, value } of wholeLines<T>(path)) if (keep(value)) yield `${text}\n`
  }
  const aside = temporaryName(path)
  try {
    await pipeline(kept, createWriteStream(aside, { flush: true }))
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {})
    throw typedSystemError(error, path)
  }
}

/** Return the complete lines of a log, as text and parsed. */
async function* wholeLines<T>(path: string): AsyncIterable<{ readonly text: string; readonly value: T }> {
  let number = 0
  for await (const { text, ended } of linesOf(path)) {
    number++
    const value = parsed<T>(text)
    if (value !== undefined) yield { text, value }
    // an interrupted writer leaves its last line without an end
    else if (ended)
      throw new DataError(`${path}: line ${number} is damaged (it is not JSON)`, {
        hint: 'remove that line: another program changed the file',
      })
  }
}

function parsed<T>(text: string): T | undefined {
  try {
    return parseForeignJson(text, 'line') as T
  } catch {
    return undefined
  }
}

async function* linesOf(path: string): AsyncIterable<{ readonly text: string; readonly ended: boolean }> {
  let rest = ''
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const text of lines) yield { text, ended: true }
  }
  if (rest !== '') yield { text: rest, ended: false }
}
