import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { DataError } from '../errors.js'
import { parseForeignJson, readForeignText } from '../foreign-text.js'
import { typedSystemError } from '../system-errors.js'
import { syncFolder, writeWhole } from '../whole-file.js'

const place = {
  time: z.iso.datetime(),
  reader: z.string().min(1).max(100),
  position: z.int().min(1).describe('place in the order of this reader'),
  case: z.int().min(1),
}

const lineSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('started'), ...place }),
  z.strictObject({
    kind: z.literal('answer'),
    ...place,
    showing: z.union([z.literal(1), z.literal(2)]),
    answer: z.enum(['real', 'synthetic']),
    confidence: z.int().min(1).max(5),
    clickMm: z
      .tuple([z.number(), z.number(), z.number()])
      .nullable()
      .describe('where the reader saw the lesion; null: the reader saw none'),
    seconds: z.number().min(0).describe('time in which the case was visible'),
    overTime: z.boolean().describe('the time limit had passed'),
    version: z.string().max(100),
  }),
])

export type JournalLine = z.infer<typeof lineSchema>
export type ReaderAnswer = Extract<JournalLine, { kind: 'answer' }>

export interface Journal {
  readonly lines: readonly JournalLine[]
  /** Lines that a killed server left unfinished. They were never acknowledged. */
  readonly unfinished: number
}

/**
 * Append a line; resolve when it is on the disk. A line that a killed server left unfinished is ended first; the line is one
 * write, so a kill leaves all of it or an unfinished one.
 * @throws EnvironmentError if the file cannot be written
 */
export async function appendToJournal(file: string, line: JournalLine): Promise<void> {
  const record = `${JSON.stringify(lineSchema.parse(line))}\n`
  const { O_RDWR, O_APPEND, O_CREAT, O_NONBLOCK } = constants
  try {
    await using handle = await open(file, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
    const { size } = await handle.stat()
    const bytes = Buffer.from((await endsOpen(handle, size)) ? `\n${record}` : record)
    const { bytesWritten } = await handle.write(bytes)
    if (bytesWritten < bytes.length) throw Object.assign(new Error('short write'), { code: 'ENOSPC' })
    await handle.sync()
    if (size === 0) await syncFolder(dirname(file))
  } catch (error) {
    throw typedSystemError(error, file)
  }
}

/** Read all lines; a missing file has none. @throws DataError for a line of another kind */
export async function readJournal(file: string): Promise<Journal> {
  const isThere = await stat(file).catch(() => null)
  if (isThere === null) return { lines: [], unfinished: 0 }
  const texts = (await readForeignText(file)).split('\n')
  const lines: JournalLine[] = []
  let unfinished = 0
  for (const [at, text] of texts.entries()) {
    if (text === '') continue
    let value: unknown
    try {
      value = parseForeignJson(text, file)
    } catch {
      // a whole line is JSON
      unfinished++
      continue
    }
    const { data } = lineSchema.safeParse(value)
    if (data === undefined)
      throw new DataError(`${file}: line ${at + 1} is no answer of a reader`, {
        hint: 'remove that line: another program changed the file',
      })
    lines.push(data)
  }
  return { lines, unfinished }
}

/** Write the journal again without a reader, or with another name of this reader. */
export async function renameInJournal(file: string, reader: string, name: string | null): Promise<void> {
  const { lines } = await readJournal(file)
  const kept = lines.flatMap((line) =>
    line.reader !== reader ? [line] : name === null ? [] : [{ ...line, reader: name }],
  )
  if (lines.length > 0)
    await writeWhole(file, kept.map((line) => `${JSON.stringify(line)}\n`).join(''), 0o600)
}

/** Return the answers, one for each place of a reader: the first one counts. */
export function answersOf(lines: readonly JournalLine[]): ReaderAnswer[] {
  const seen = new Set<string>()
  return lines.flatMap((line) => {
    const key = JSON.stringify([line.reader, line.position])
    if (line.kind !== 'answer' || seen.has(key)) return []
    seen.add(key)
    return [line]
  })
}

async function endsOpen(handle: FileHandle, size: number): Promise<boolean> {
  if (size === 0) return false
  const last = Buffer.alloc(1)
  await handle.read(last, 0, 1, size - 1)
  return last[0] !== 0x0a
}
