import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { access, rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { DataError } from './errors.js'
import { parseForeignJson } from './foreign-text.js'
import { typedSystemError } from './system-errors.js'
import { temporaryName } from './whole-file.js'

/** An append-only file of one JSON object a line. */
export interface JsonLog<T> extends AsyncDisposable {
  /**
   * Buffered; order is kept.
   * @throws EnvironmentError when an earlier line could not be written; told once, here or by `close`
   */
  write(line: T): void
  /** Resolves when what was written so far is with the system: a kill of this process loses none of it. */
  flush(): Promise<void>
  /** Resolves when everything is in the file. */
  close(): Promise<void>
}

export interface JsonLogOptions<T> {
  /** Lines of an existing file to keep; default all. A torn last line is always dropped. */
  readonly keep?: (line: T) => boolean
}

/**
 * Opens a log to append to; what a killed writer left half-written is cut off first.
 * @throws DataError when another line than the last is damaged
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
  const tellFailure = (): void => {
    const told = failure
    failure = null
    if (told) throw told
  }
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()))
  const close = async (): Promise<void> => {
    // not the callback of `end`: it comes before the error of the last write
    stream.end()
    await closed
    tellFailure()
  }
  return {
    write: (line) => {
      tellFailure()
      if (stream.writable) stream.write(`${JSON.stringify(line)}\n`)
    },
    flush: () => new Promise((resolve) => (stream.writable ? stream.write('', () => resolve()) : resolve())),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/**
 * Reads a log line by line; a torn last line is left out.
 * @throws DataError when another line is damaged
 */
export async function* readJsonLog<T>(path: string): AsyncIterable<T> {
  for await (const { value } of wholeLines<T>(path)) yield value
}

/** Rewrites a log with the lines that are whole and wanted; a file that does not exist stays so. */
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

/** The lines of a log with what they say. */
async function* wholeLines<T>(path: string): AsyncIterable<{ readonly text: string; readonly value: T }> {
  let number = 0
  for await (const { text, ended } of linesOf(path)) {
    number++
    const value = parsed<T>(text)
    if (value !== undefined) yield { text, value }
    // a writer that was killed leaves its last line without an end
    else if (ended)
      throw new DataError(`${path}: line ${number} is damaged (it is no JSON)`, {
        hint: 'remove that line; a log of freetumor is damaged nowhere but at its end',
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
