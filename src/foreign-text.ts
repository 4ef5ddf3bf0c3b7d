import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { DataError, FreetumorError } from './errors.js'
import { cannotBeRead } from './system-errors.js'

/** Limits above which a text is refused. */
export interface JsonBounds {
  /**
   * Nesting depth of brackets. Recursive code (validation, JSON.stringify, structuredClone) fails at some
   * thousands.
   */
  readonly depth: number
  /** Total number of members of arrays and objects. 2 million take about 1 s and 100 MB. */
  readonly values: number
}

const JSON_BOUNDS: JsonBounds = { depth: 64, values: 2_000_000 }
const MAX_BYTES = 64 * 2 ** 20

export interface ForeignTextOptions {
  /** Largest size of the file in bytes. Default: 64 MiB. */
  readonly bytes?: number
  /** Largest number of values of a JSON file. Default: 2 million. */
  readonly values?: number
  /** Return the error for a file that cannot be read. `code` is the errno name, such as ENOENT. */
  readonly unreadable?: (code: string, cause: unknown) => FreetumorError
}

/**
 * Read an untrusted text file: a regular file of bounded size in UTF-8, without its byte order mark.
 * @throws DataError that names the file
 */
export async function readForeignText(path: string, options: ForeignTextOptions = {}): Promise<string> {
  return decodeText(await readForeignBytes(path, options), path)
}

/**
 * Read an untrusted file: a regular file of bounded size.
 * @throws DataError that names the file
 */
export async function readForeignBytes(path: string, options: ForeignTextOptions = {}): Promise<Buffer> {
  const { bytes = MAX_BYTES, unreadable = cannotRead(path) } = options
  try {
    // a pipe without a writer would block a plain open for ever
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const found = await file.stat()
    if (!found.isFile())
      throw new DataError(`${path}: not a regular file`, { hint: 'name a file, not a folder or a pipe' })
    if (found.size > bytes)
      throw new DataError(`${path}: too large (expected at most ${bytes} bytes, found ${found.size})`, {
        hint: 'name the right file',
      })
    return await file.readFile()
  } catch (error) {
    if (error instanceof FreetumorError) throw error
    throw unreadable((error as NodeJS.ErrnoException).code ?? String(error), error)
  }
}

/**
 * Return the text of UTF-8 bytes.
 * @throws DataError on other encodings
 */
export function decodeText(content: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch (cause) {
    throw new DataError(`${name}: not UTF-8 text`, { hint: 'save it as UTF-8', cause })
  }
}

/**
 * Parse untrusted JSON. Depth and number of values are checked before parsing. The key `__proto__` and the
 * character U+0000 are refused, so that no value reaches a prototype or truncates a path.
 * @param name start of the error messages: a file, a line, a request
 * @throws DataError
 */
export function parseForeignJson(text: string, name: string, bounds: JsonBounds = JSON_BOUNDS): unknown {
  const excess = excessOf(text, bounds)
  if (excess !== null)
    throw new DataError(`${name}: ${excess}`, { hint: 'use another file: this one is damaged or hostile' })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    // without the part that V8 quotes: it may be text of a patient
    const reason = (cause as Error).message.replace(/, (?:\.\.\.)?".*" is not valid JSON$/s, '')
    throw new DataError(`${name}: is not JSON (${reason})`, {
      hint: 'repair or replace it',
      cause,
    })
  }
  // escapes may spell both
  if (/__proto__|\\u00(?:00|5f)/i.test(text)) refuseTraps(value, name)
  return value
}

/** Read and parse an untrusted JSON file; see `readForeignText` and `parseForeignJson`. */
export async function readForeignJson(path: string, options: ForeignTextOptions = {}): Promise<unknown> {
  const { values = JSON_BOUNDS.values } = options
  return parseForeignJson(await readForeignText(path, options), path, { ...JSON_BOUNDS, values })
}

/** Return the value if it is an object, else undefined. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined
}

/**
 * Refuse the key `__proto__` and the character U+0000 anywhere in a parsed value of bounded depth.
 * @throws DataError
 */
export function refuseTraps(value: unknown, name: string): void {
  const waiting = [value]
  while (waiting.length > 0) {
    const next = waiting.pop()
    if (typeof next === 'string' && next.includes('\0'))
      throw new DataError(`${name}: a text holds the character U+0000`, { hint: 'remove it' })
    if (typeof next !== 'object' || next === null) continue
    for (const [key, inner] of Object.entries(next)) {
      if (key === '__proto__' || key.includes('\0'))
        throw new DataError(`${name}: the key ${JSON.stringify(key)} is not allowed`, { hint: 'remove it' })
      waiting.push(inner)
    }
  }
}

/** Return the bound that a JSON text exceeds, by its brackets and commas outside strings; null if none. */
function excessOf(text: string, { depth, values }: JsonBounds): string | null {
  let open = 0
  let count = 1
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = endOfString(text, at)
    else if (code === 0x5b || code === 0x7b) {
      if (++open > depth) return `nested deeper than ${depth} levels`
      count++
    } else if (code === 0x5d || code === 0x7d) open--
    else if (code === 0x2c) count++
  }
  return count > values ? `holds more than ${values} values` : null
}

/** Return the position of the closing quote, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) return at
    if (code === 0x5c) at++
  }
  return text.length
}

function cannotRead(path: string) {
  return (code: string, cause: unknown): DataError =>
    new DataError(cannotBeRead(path, code), { hint: 'correct the path', cause })
}
