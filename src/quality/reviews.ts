import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { DataError } from '../errors.js'
import { decodeText, parseForeignJson, readForeignBytes } from '../foreign-text.js'
import { csvField } from '../plain-text.js'
import { typedSystemError } from '../system-errors.js'
import { syncFolder } from '../whole-file.js'

/** One line of `reviews.jsonl`: one decision of one reviewer on one synthetic tumor. */
export interface ReviewLine {
  /** ISO 8601. */
  readonly time: string
  readonly reviewer: string
  readonly case: string
  readonly variant: number
  readonly tumor: number
  /** SHA-256 of the synthetic file that the reviewer saw. */
  readonly sha256: string
  /** `undo` withdraws the last decision of this reviewer on this tumor; an earlier one stands again. */
  readonly decision: 'accept' | 'reject' | 'undo'
  readonly reason: string | null
  /** Time spent on the decision. */
  readonly seconds: number
  /** Version of the software that recorded the decision. */
  readonly version: string
}

/** A tumor in one version of its synthetic file. */
export type ReviewedTumor = Pick<ReviewLine, 'case' | 'variant' | 'tumor' | 'sha256'>

/** The standing decisions on one tumor. */
export interface TumorDecision extends ReviewedTumor {
  /** The standing decision of each reviewer, in order of their first decisions. */
  readonly standing: readonly StandingDecision[]
  /** The majority of the standing decisions. `undecided` is a tie: the automatic verdict stands. */
  readonly joint: 'accept' | 'reject' | 'undecided'
}

export interface StandingDecision extends Pick<ReviewLine, 'reviewer' | 'reason' | 'time' | 'seconds'> {
  readonly decision: 'accept' | 'reject'
}

/** Use of the joint decisions of a review file, by a synthesis or a training. Each reviewed tumor counts once. */
export interface ReviewCounts {
  /** Tumors that the rule rejected and the reviewers accepted. */
  readonly kept: number
  /** Tumors that the rule accepted and the reviewers rejected. */
  readonly dropped: number
  /** Tumors on which the rule and the reviewers agree. */
  readonly confirmed: number
  /** Ties: the verdict of the rule stands. */
  readonly undecided: number
  /** Tumors that take no part, such as a later attempt after a kept one, or a scan that is not used. */
  readonly unused: number
  /** Decisions on another version of the file; they do not apply. */
  readonly stale: number
  /** The first few stale ones: case, variant and tumor. */
  readonly firstStale: readonly string[]
}

/** Longest texts of a line, in characters. */
export const REVIEW_BOUNDS = { reviewer: 100, case: 1000, reason: 500, version: 100 } as const

/** No valid line is longer; each character takes at most 6 bytes. */
const MAX_LINE_BYTES = 16 * 1024

/** Start of each line that `appendReview` writes. */
const LINE_START = '{"time":"'

const natural = z.int().min(0)
/** A line of `reviews.jsonl`. */
export const reviewLineSchema = z.strictObject({
  time: z.iso.datetime(),
  reviewer: z.string().min(1).max(REVIEW_BOUNDS.reviewer),
  case: z.string().min(1).max(REVIEW_BOUNDS.case),
  variant: natural,
  tumor: natural,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  decision: z.enum(['accept', 'reject', 'undo']),
  reason: z.string().max(REVIEW_BOUNDS.reason).nullable(),
  seconds: z.number().min(0),
  version: z.string().max(REVIEW_BOUNDS.version),
}) satisfies z.ZodType<ReviewLine>

const FIELDS = Object.keys(reviewLineSchema.shape) as readonly (keyof ReviewLine)[]

/**
 * Append a decision; resolve when it is on the disk. The file is created with mode 0600.
 *
 * Several processes of one machine may append at once: a line is a single write in append mode, and a repair never moves
 * or removes bytes. Network file systems do not guarantee this between machines.
 * @throws DataError for an invalid line; EnvironmentError if the file cannot be written
 */
export async function appendReview(file: string, line: ReviewLine): Promise<void> {
  const record = Buffer.from(`${JSON.stringify(checkedLine(line, `${file}: the new line`))}\n`)
  try {
    await using handle = await openForAppend(file)
    const found = await handle.stat()
    if (!found.isFile())
      throw new DataError(`${file}: not a regular file`, { hint: 'name a file, not a folder or a pipe' })
    await refuseOtherFile(file, handle)
    const isEnded = await repairLastLine(file, handle, found.size)
    const written = isEnded ? record : Buffer.concat([Buffer.from('\n'), record])
    const { bytesWritten } = await handle.write(written)
    // writing the rest could land behind the line of another process
    if (bytesWritten < written.length) throw Object.assign(new Error('short write'), { code: 'ENOSPC' })
    await separate(file, handle, found.size, record)
    await handle.sync()
    if (found.size === 0) await syncFolder(dirname(file))
  } catch (error) {
    throw typedSystemError(error, file)
  }
}

/**
 * Read all decisions, in the order of the file. A partially written last line is dropped; a complete one without a line
 * feed, as some editors leave it, counts.
 * @throws DataError that names the file and the line
 */
export async function readReviews(file: string): Promise<ReviewLine[]> {
  return [...(await readReviewFile(file)).lines]
}

/** Read all decisions as `readReviews` does, with the SHA-256 of the file. */
export async function readReviewFile(
  file: string,
): Promise<{ readonly lines: readonly ReviewLine[]; readonly sha256: string }> {
  const bytes = await readForeignBytes(file)
  const end = bytes.lastIndexOf(0x0a) + 1
  const ended = decodeText(bytes.subarray(0, end), file).split('\n')
  const lines = ended.flatMap((line, at) => {
    const where = `${file}: line ${at + 1}`
    // a repaired line holds only spaces
    return line.trim() === '' ? [] : [checkedLine(parseForeignJson(line, where), where)]
  })
  const last = unendedLine(bytes.subarray(end), `${file}: line ${ended.length}`)
  if (last !== null) lines.push(last)
  return { lines, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/**
 * Return the standing decisions on each tumor, in order of its first line. Tumors whose decisions were all withdrawn are
 * omitted. The order of the file counts, not the clocks of the reviewers.
 */
export function decisionsOf(lines: readonly ReviewLine[]): TumorDecision[] {
  const tumors = new Map<string, { readonly of: ReviewedTumor; readonly made: Map<string, ReviewLine[]> }>()
  for (const line of lines) {
    const { case: caseId, variant, tumor, sha256, reviewer } = line
    const key = JSON.stringify([caseId, variant, tumor, sha256])
    const entry = tumors.get(key) ?? { of: { case: caseId, variant, tumor, sha256 }, made: new Map() }
    const made = entry.made.get(reviewer) ?? []
    if (line.decision === 'undo') made.pop()
    else made.push(line)
    entry.made.set(reviewer, made)
    tumors.set(key, entry)
  }
  return [...tumors.values()].flatMap(({ of, made }) => {
    const standing = [...made.values()].flatMap((own) => own.slice(-1).map(standingDecision))
    return standing.length === 0 ? [] : [{ ...of, standing, joint: jointOf(standing) }]
  })
}

/** Count the uses of decisions. */
export function countUses(
  uses: readonly (readonly [ReviewedTumor, Exclude<keyof ReviewCounts, 'firstStale'>])[],
): ReviewCounts {
  const of = (wanted: string): number => uses.filter(([, use]) => use === wanted).length
  const stale = uses.filter(([, use]) => use === 'stale').map(([tumor]) => tumorName(tumor))
  return {
    kept: of('kept'),
    dropped: of('dropped'),
    confirmed: of('confirmed'),
    undecided: of('undecided'),
    unused: of('unused'),
    stale: stale.length,
    firstStale: stale.slice(0, 3),
  }
}

/** Return the name of a tumor in messages. */
export function tumorName({ case: id, variant, tumor }: Omit<ReviewedTumor, 'sha256'>): string {
  return `${id} variant ${variant} tumor ${tumor}`
}

/** Return all lines as CSV with a header. No spreadsheet reads a cell as a formula. */
export function reviewsCsv(lines: readonly ReviewLine[]): string {
  const row = (values: readonly (string | number | null)[]): string =>
    `${values.map((value) => csvField(value ?? '')).join(',')}\n`
  return [row(FIELDS), ...lines.map((line) => row(FIELDS.map((field) => line[field])))].join('')
}

function standingDecision({ reviewer, decision, reason, time, seconds }: ReviewLine): StandingDecision {
  return { reviewer, decision: decision as StandingDecision['decision'], reason, time, seconds }
}

function jointOf(standing: readonly StandingDecision[]): TumorDecision['joint'] {
  const accepted = standing.filter(({ decision }) => decision === 'accept').length
  const rejected = standing.length - accepted
  if (accepted === rejected) return 'undecided'
  return accepted > rejected ? 'accept' : 'reject'
}

function checkedLine(value: unknown, where: string): ReviewLine {
  const { data, error } = reviewLineSchema.safeParse(value)
  if (data !== undefined) return data
  const issue = error!.issues[0]!
  throw new DataError(`${where}: not a review (${[...issue.path, issue.message].join(': ')})`, {
    hint: 'remove that line, or name the right file',
  })
}

/**
 * Return the review in a last line without an end; null if it is what a killed writer, or a loss of power, left of one.
 * @throws DataError if it is something else
 */
function unendedLine(bytes: Buffer, where: string): ReviewLine | null {
  const start = bytes.subarray(0, LINE_START.length).toString('latin1')
  // a killed repair leaves spaces
  const isRest = /^[ \0]*$/.test(start.slice(0, 1)) || LINE_START.startsWith(start)
  let value: unknown
  try {
    // a part of a character may be the end
    value = parseForeignJson(decodeText(bytes, where), where)
  } catch (error) {
    if (isRest) return null
    throw error
  }
  return checkedLine(value, where)
}

/** Refuse to append to a file of another kind, such as a ledger that the user named by mistake. */
async function refuseOtherFile(file: string, handle: FileHandle): Promise<void> {
  const head = Buffer.alloc(MAX_LINE_BYTES)
  const { bytesRead } = await handle.read(head, 0, head.length, 0)
  const end = head.subarray(0, bytesRead).indexOf(0x0a)
  if (end < 0) return
  const line = decodeText(head.subarray(0, end), file)
  let value: unknown
  try {
    value = parseForeignJson(line, file)
  } catch {
    // two processes that append after a kill may leave such a line for a moment
    if (line.trim() === '' || line.includes(LINE_START)) return
    throw new DataError(`${file}: line 1: not a review`, { hint: 'name a file of reviews, or a new one' })
  }
  checkedLine(value, `${file}: line 1`)
}

async function openForAppend(file: string): Promise<FileHandle> {
  const { O_RDWR, O_APPEND, O_CREAT, O_NONBLOCK } = constants
  // a pipe without a reader would block a plain open for ever
  return await open(file, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
}

/**
 * Replace a last line without an end, which a killed writer left, by spaces and a line feed. Two processes may do so at
 * once: both write the same bytes to the same place. Truncating instead could remove a line that the other one appended.
 * Return false if the last line is a whole review that only lacks its line feed.
 */
async function repairLastLine(file: string, handle: FileHandle, size: number): Promise<boolean> {
  let abandoned = size === 0 ? null : await lastLine(file, handle, size)
  if (abandoned === null) return true
  await using writable = await open(file, constants.O_RDWR)
  const first = Buffer.alloc(1)
  for (;;) {
    await writable.read(first, 0, 1, 0)
    // rewriting a byte waits for a write that another process has begun
    await writable.write(first, 0, 1, 0)
    const now = await lastLine(file, handle, (await handle.stat()).size)
    if (now === null) return true
    if (now.end === abandoned.end) {
      if (unendedLine(now.bytes, `${file}: last line`) !== null) return false
      await blank(writable, now)
      return true
    }
    abandoned = now
  }
}

/** Position of bytes in a file; the end is exclusive. */
interface Span {
  readonly start: number
  readonly end: number
}

/** Return where a last line without an end lies; null if the last line is complete. */
async function lastLine(
  file: string,
  handle: FileHandle,
  size: number,
): Promise<(Span & { readonly bytes: Buffer }) | null> {
  const from = Math.max(0, size - MAX_LINE_BYTES)
  const tail = Buffer.alloc(size - from)
  await handle.read(tail, 0, tail.length, from)
  if (tail.at(-1) === 0x0a) return null
  const feed = tail.lastIndexOf(0x0a)
  if (feed < 0 && from > 0)
    throw new DataError(`${file}: not a file of reviews (a line exceeds ${MAX_LINE_BYTES} bytes)`, {
      hint: 'name the right file',
    })
  return { start: from + feed + 1, end: size, bytes: tail.subarray(feed + 1) }
}

/** Separate the new record from the rest of a line that another process left after the repair. */
async function separate(file: string, handle: FileHandle, from: number, record: Buffer): Promise<void> {
  const { size } = await handle.stat()
  const start = Math.max(0, from - MAX_LINE_BYTES)
  const tail = Buffer.alloc(size - start)
  await handle.read(tail, 0, tail.length, start)
  const own = tail.lastIndexOf(record)
  const feed = own <= 0 ? -1 : tail.lastIndexOf(0x0a, own - 1)
  if (own <= 0 || feed === own - 1) return
  await using writable = await open(file, constants.O_RDWR)
  await blank(writable, { start: start + feed + 1, end: start + own })
}

async function blank(writable: FileHandle, { start, end }: Span): Promise<void> {
  const spaces = Buffer.alloc(end - start, ' ')
  spaces[spaces.length - 1] = 0x0a
  await writable.write(spaces, 0, spaces.length, start)
  await writable.sync()
}
