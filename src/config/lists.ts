import { z } from 'zod'
import { ConfigError } from '../errors.js'
import { asRecord, parseForeignJson, readForeignText } from '../foreign-text.js'
import { cannotBeRead } from '../system-errors.js'
import { describe } from './complete.js'
import { OVERLAP_HINT, overlapOf } from './measured-ranges.js'
import { type MeasuredRange, measuredRange } from './sections/simulation.js'

const position = z.strictObject({
  case: z.string().min(1).optional(),
  organ: z.string().min(1).nullish(),
  mm: z.tuple([z.number(), z.number(), z.number()]).optional(),
  voxel: z.tuple([z.number(), z.number(), z.number()]).optional(),
})

/** A place of a list: `mm` are RAS millimetres of a scan, `voxel` counts from 0 in its array. */
export type ReadPosition = z.infer<typeof position>

/**
 * Return the numbers of a text file, one per line. Text after a comma, empty lines and lines that begin with # are ignored.
 * @throws ConfigError that names the file and the line
 */
export async function readNumbers(path: string): Promise<number[]> {
  return (await readLines(path)).map(({ text, line }) => {
    const value = Number(text.split(',')[0])
    if (!(value > 0 && Number.isFinite(value)))
      throw new ConfigError(
        `${path}: line ${line}: no volume (expected a number above 0, found ${quoted(text)})`,
        {
          hint: 'write one positive number per line',
          facts: { file: path },
        },
      )
    return value
  })
}

/**
 * Return the positions of a file, one JSON object per line: `{case, mm: [x, y, z], organ}`, or `voxel` instead of `mm`. Lines
 * of a `tumors.ndjson` are accepted too: their `centre` is a voxel.
 * @throws ConfigError that names the file and the line
 */
export async function readPositions(path: string): Promise<ReadPosition[]> {
  return (await readLines(path)).map(({ text, line }) => {
    const fail = () =>
      new ConfigError(
        `${path}: line ${line}: no position (expected {"mm": [x, y, z]} or {"voxel": [i, j, k]}, found ${quoted(text)})`,
        { hint: 'correct the line', facts: { file: path } },
      )
    const parsed = position.safeParse(asPosition(text))
    if (!parsed.success || (parsed.data.mm === undefined) === (parsed.data.voxel === undefined)) throw fail()
    return parsed.data
  })
}

const hardNegative = z.strictObject({
  case: z.string().min(1),
  mm: z.tuple([z.number(), z.number(), z.number()]),
  score: z.number().min(0).max(1).nullish(),
  volumeMl: z.number().min(0).nullish(),
})

/** A false positive of a list: RAS millimetres of a scan. */
export interface ReadHardNegative {
  readonly case: string
  readonly mm: readonly [number, number, number]
  readonly score: number | null
}

/**
 * Return the false positives of a file of `freetumor hard-negatives`, one JSON object per line.
 * @throws ConfigError that names the file and the line
 */
export async function readHardNegatives(path: string): Promise<ReadHardNegative[]> {
  return (await readLines(path)).map(({ text, line }) => {
    const { data } = hardNegative.safeParse(asPosition(text))
    if (data === undefined)
      throw new ConfigError(
        `${path}: line ${line}: no false positive (expected {"case": "set/scan", "mm": [x, y, z]}, found ${quoted(text)})`,
        { hint: 'write the file with `freetumor hard-negatives`', facts: { file: path } },
      )
    return { case: data.case, mm: data.mm, score: data.score ?? null }
  })
}

/** Keys that lead to an entry of the curriculum, whose own keys do not depend on its place. */
const ENTRY_KEYS = ['simulation', 'curriculum', '0']

/**
 * Return found and missed tumors by organ and range, of a file of `freetumor evaluate`, one JSON object per line.
 * @throws ConfigError that names the file and the line
 */
export async function readMeasuredRanges(path: string): Promise<MeasuredRange[]> {
  const lines = await readLines(path)
  const fault = (line: number, message: string, hint: string) =>
    new ConfigError(`${path}: line ${line}: ${message}`, { hint, facts: { file: path } })
  const ranges = lines.map(({ text, line }) => {
    const value = asRecord(jsonOf(text))
    if (value === undefined)
      throw fault(
        line,
        `no measured range (expected {"organ": "liver", "diameterMm": [5, 10], "found": 3, "missed": 4}, found ${quoted(text)})`,
        'name the file missed-sizes.jsonl of `freetumor evaluate --out`',
      )
    const { data, error } = measuredRange.safeParse(value)
    if (data !== undefined) return data
    throw new ConfigError(describe(`${path}: line ${line}`, error.issues, value, ENTRY_KEYS), {
      hint: 'correct the line, or write the file with `freetumor evaluate --out`',
      facts: { file: path },
    })
  })
  const overlap = overlapOf(ranges)
  if (overlap !== null) {
    const { first, second, kind, fault: what } = overlap
    throw fault(lines[second]!.line, `${kind}: overlaps line ${lines[first]!.line} ${what}`, OVERLAP_HINT)
  }
  return ranges
}

function asPosition(text: string): unknown {
  const value = jsonOf(text)
  const centre = asRecord(value)?.centre
  return centre === undefined ? value : { voxel: centre }
}

/** Return the JSON value of a line; null if it has none. */
function jsonOf(text: string): unknown {
  try {
    return parseForeignJson(text, 'line')
  } catch {
    return null
  }
}

async function readLines(path: string): Promise<{ readonly text: string; readonly line: number }[]> {
  const unreadable = (code: string, cause: unknown): ConfigError =>
    new ConfigError(cannotBeRead(path, code, 'list'), {
      hint: 'correct the path, or make the file readable',
      facts: { file: path },
      cause,
    })
  const content = await readForeignText(path, { unreadable })
  const lines = content.split('\n').map((text, at) => ({ text: text.trim(), line: at + 1 }))
  const filled = lines.filter(({ text }) => text !== '' && !text.startsWith('#'))
  if (filled.length === 0)
    throw new ConfigError(`${path}: the list is empty`, {
      hint: 'write one entry per line',
      facts: { file: path },
    })
  return filled
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text)
}
