import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

/** An append-only file of one JSON object a line. */
export interface JsonLog<T> extends AsyncDisposable {
  /** Buffered; order is kept. */
  write(line: T): void
  /** Resolves when everything is in the file. */
  close(): Promise<void>
}

export interface JsonLogOptions<T> {
  /** Lines of an existing file to keep; default all. A torn last line is always dropped. */
  readonly keep?: (line: T) => boolean
}

/** Opens a log to append to; what a killed writer left half-written is cut off first. */
export async function openJsonLog<T>(path: string, options: JsonLogOptions<T> = {}): Promise<JsonLog<T>> {
  await cutJsonLog(path, options.keep ?? (() => true))
  const stream = createWriteStream(path, { flags: 'a' })
  await once(stream, 'open')
  let failure: Error | null = null
  stream.on('error', (error) => {
    failure ??= error
  })
  let closing: Promise<void> | null = null
  const close = (): Promise<void> => {
    closing ??= new Promise((resolve, reject) => {
      stream.end(() => (failure ? reject(failure) : resolve()))
    })
    return closing
  }
  return {
    write: (line) => {
      if (!closing) stream.write(`${JSON.stringify(line)}\n`)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Reads a log line by line; a torn last line is left out. */
export async function* readJsonLog<T>(path: string): AsyncIterable<T> {
  const lines = createInterface({
    input: createReadStream(path, 'utf8'),
    crlfDelay: Number.POSITIVE_INFINITY,
  })
  for await (const line of lines) {
    const parsed = parseLine<T>(line)
    if (parsed !== undefined) yield parsed
  }
}

/** Rewrites a log with the lines that are whole and wanted; a file that does not exist stays so. */
async function cutJsonLog<T>(path: string, keep: (line: T) => boolean): Promise<void> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return
  const kept = text.split('\n').filter((line) => {
    const parsed = parseLine<T>(line)
    return parsed !== undefined && keep(parsed)
  })
  const whole = kept.map((line) => `${line}\n`).join('')
  if (whole === text) return
  await writeFile(`${path}.tmp`, whole)
  await rename(`${path}.tmp`, path)
}

function parseLine<T>(line: string): T | undefined {
  if (line === '') return undefined
  try {
    return JSON.parse(line) as T
  } catch {
    return undefined
  }
}
