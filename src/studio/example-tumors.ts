import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { loadConfig } from '../config/load.js'
import { RECORD } from '../config/paths.js'
import type { RunConfig } from '../config/schema.js'
import { DataError } from '../errors.js'
import { asRecord, parseForeignJson } from '../foreign-text.js'
import { withDecision } from '../pipeline/report/tumor-pictures.js'
import type { LedgerLine } from '../quality/ledger.js'
import { RULE_NAMES } from '../quality/policy.js'
import { attemptOf, parseTumorPicture, type RealTumor, type TumorPicture } from '../report/pictures.js'
import { barLengthMm, type SliceView, sideMarks, windowText } from '../report/slice-view.js'
import {
  byOrgan,
  bySize,
  decision,
  type Example,
  nameOf,
  pairFacts,
  pairViews,
  similarPairs,
  tumorViews,
} from '../report/tumor-section.js'
import type { PlacedRun } from './catalogue.js'
import { openInside, readTextInside, realPathInside } from './inside.js'
import type { ExampleFigure, ExampleTumors, ExampleView } from './messages.js'

/** A training keeps at most 2 tumors of each organ, size and verdict, and few real ones. */
const MAX_FILES = 300
const MAX_ENTRIES = 20_000
const FILE_BYTES = 256 * 1024
/** A training writes squares of at most 96 pixels. */
const MAX_SIDE = 256
/** Start of the ledger that is read: a training keeps the first tumors of each kind. */
const LEDGER_BYTES = 16 * 2 ** 20

const NAME = /^(tumor|real)_[\w.-]{1,200}\.json$/
const VERDICTS: readonly unknown[] = ['accepted', 'rejected', 'recorded'] satisfies LedgerLine['verdict'][]
const REASONS: readonly unknown[] = ['seen', 'notSeen', 'empty', 'notJudged', ...RULE_NAMES]

type Settings = Pick<RunConfig, 'job' | 'quality' | 'report'>
type DecidedLine = Pick<LedgerLine, 'verdict' | 'reason' | 'organ' | 'size' | 'measures'>

/** Return the example tumors that a training kept, with the measures that decided. A damaged file becomes a problem. */
export async function exampleTumorsOf(place: PlacedRun): Promise<ExampleTumors> {
  const problems: string[] = []
  const pictures = await readPictures(place, problems)
  const config = await configOf(place)
  const painted = pictures.filter((one): one is TumorPicture => one.kind === 'synthetic')
  const real = pictures.filter((one): one is RealTumor => one.kind === 'real')
  const lines = await linesOf(place, new Set(painted.map(({ attempt }) => attempt))).catch((error) => {
    problems.push(messageOf(error))
    return new Map<string, DecidedLine>()
  })
  const examples = painted.map((one) => withDecision(one, lines.get(one.attempt), config?.quality ?? null))
  const pairs = similarPairs(examples, real)
  const organs = byOrgan(examples).map(([organ, own]) => {
    const figures = (verdict: string | null): ExampleFigure[] =>
      bySize(own.filter((one) => one.verdict === verdict)).map(tumorFigure)
    return {
      organ,
      accepted: figures('accepted'),
      rejected: figures('rejected'),
      unjudged: figures(null),
      pairs: pairs.filter(([one]) => one.organ === organ).map(([one, other]) => pairFigure(one, other)),
    }
  })
  return { organs, advice: adviceFor(config), problems }
}

async function readPictures(place: PlacedRun, problems: string[]): Promise<(TumorPicture | RealTumor)[]> {
  const pictures: (TumorPicture | RealTumor)[] = []
  try {
    const folder = await realPathInside(place.root, join(place.directory, 'pictures'))
    const names = folder === null ? [] : await namesIn(folder)
    if (names.length > MAX_FILES)
      problems.push(`Only the first ${MAX_FILES} of ${names.length} pictures are read.`)
    for (const name of names.slice(0, MAX_FILES)) {
      try {
        const picture = await readPicture(place, name)
        if (picture !== null) pictures.push(picture)
      } catch (error) {
        problems.push(messageOf(error))
      }
    }
  } catch (error) {
    problems.push(messageOf(error))
  }
  return pictures
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = []
  let entries = 0
  for await (const { name } of await opendir(folder)) {
    if (NAME.test(name)) names.push(name)
    if (++entries >= MAX_ENTRIES) break
  }
  return names.sort()
}

/** Return a picture; null if a resumed run removed it. @throws DataError */
async function readPicture(place: PlacedRun, name: string): Promise<TumorPicture | RealTumor | null> {
  const shown = `pictures/${name}`
  const text = await readTextInside(place.root, join(place.directory, 'pictures', name), FILE_BYTES)
  if (text === null) return null
  const picture = parseTumorPicture(shown, parseForeignJson(text, shown))
  const planes = picture.kind === 'real' ? [picture.plane] : picture.planes
  for (const { width, height } of planes)
    if (Math.max(width, height) > MAX_SIDE)
      throw new DataError(
        `${shown}: too large (expected at most ${MAX_SIDE} pixels a side, found ${width} x ${height})`,
        { hint: 'remove this picture: it is damaged or of another version' },
      )
  return picture
}

/** Return the ledger lines of attempts, as far as the start of the ledger has them. @throws DataError */
async function linesOf(
  { root, directory }: PlacedRun,
  wanted: ReadonlySet<string>,
): Promise<Map<string, DecidedLine>> {
  const found = new Map<string, DecidedLine>()
  if (wanted.size === 0) return found
  await using file = await openInside(root, join(directory, 'ledger.jsonl'))
  if (file === null) return found
  let rest = ''
  for await (const chunk of file.createReadStream({
    encoding: 'utf8',
    end: LEDGER_BYTES - 1,
    autoClose: false,
  })) {
    const texts = `${rest}${chunk}`.split('\n')
    rest = texts.pop()!
    for (const line of texts.map(lineIn))
      if (line !== null && wanted.has(line.attempt)) found.set(line.attempt, line)
    if (found.size === wanted.size) break
  }
  return found
}

/** Return the decision in a line of a ledger; null for any other text. */
function lineIn(text: string): (DecidedLine & { readonly attempt: string }) | null {
  let line: ReturnType<typeof asRecord>
  try {
    line = asRecord(parseForeignJson(text, 'line'))
  } catch {
    return null
  }
  if (line === undefined || !VERDICTS.includes(line.verdict) || !REASONS.includes(line.reason)) return null
  const measures = Object.entries(asRecord(line.measures) ?? {}).filter(([, value]) => Number.isFinite(value))
  return {
    ...(line as unknown as LedgerLine),
    measures: Object.fromEntries(measures) as unknown as NonNullable<LedgerLine['measures']>,
    attempt: attemptOf(line as unknown as LedgerLine),
  }
}

async function configOf({ root, directory }: PlacedRun): Promise<Settings | null> {
  try {
    const file = await realPathInside(root, join(directory, RECORD))
    return file === null ? null : await loadConfig(file, { onNote: () => {} })
  } catch {
    // the page states this problem with the configuration
    return null
  }
}

/** Return what to do if there are no pictures. */
function adviceFor(config: Settings | null): string {
  if (config?.job === 'baseline') return 'A baseline paints no tumors: open a synthesis or a segmentation.'
  if (config?.report.pictures === 0) return 'Set report.pictures above 0 before the next training.'
  return 'They appear here when the training paints its first tumors. Runs of earlier versions have none.'
}

function tumorFigure(example: Example): ExampleFigure {
  const what = nameOf(example)
  const plane = example.planes[0]!
  return {
    title: what,
    facts: [decision(example), example.where, windowText(example.windowHu)].filter((one) => one !== ''),
    views: tumorViews(plane, what, true).map(viewOf),
  }
}

function pairFigure(real: RealTumor, synthetic: Example): ExampleFigure {
  return {
    title: 'Real and synthetic, same scale',
    facts: pairFacts(real, synthetic),
    views: pairViews(real, synthetic).map(viewOf),
  }
}

function viewOf({ grid, gray, title, alt, outlines = [] }: SliceView): ExampleView {
  const { name, width, height, pixelMm } = grid
  const base64 = (pixels: Uint8Array): string => Buffer.from(pixels).toString('base64')
  return {
    title,
    alt,
    width,
    height,
    pixelMm: pixelMm ?? [1, 1],
    sides: sideMarks(name),
    barMm: pixelMm === null ? null : barLengthMm(width * pixelMm[0]),
    gray: base64(gray),
    outline: outlines.length === 0 ? null : base64(outlines[0]!.mask),
  }
}

function messageOf(error: unknown): string {
  if (error instanceof DataError) return `${error.message}.`
  throw error
}
