import { access, readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import type { Summary } from '../../evaluation/summary.js'
import { parseForeignJson, readForeignJson, readForeignText } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { LedgerLine } from '../../quality/ledger.js'
import type { EvaluationRow, EvaluationTable } from '../../report/evaluation-section.js'
import { type ReportInput, renderReport } from '../../report/html.js'
import { attemptOf, parseTumorPicture, type TumorPicture } from '../../report/pictures.js'
import type { RunReport } from '../../report/run-section.js'
import { type LedgerEntry, tallyTumors } from '../../report/tumor-tally.js'
import { readEvents } from '../../training/event-log.js'
import type { RunEvent } from '../../training/events.js'
import { writeWhole } from '../../whole-file.js'
import { readReviewSummary } from '../review-summary.js'
import { writeEvaluationPage } from './evaluation.js'

/** Largest number of pictures of each verdict on the page of a ledger. */
const MAX_EXAMPLES = 8

const NODE_LEDGER = /^ledger\.node-\d+\.jsonl$/

const VERDICTS: Readonly<Record<LedgerLine['verdict'], string | null>> = {
  accepted: 'accepted',
  rejected: 'rejected',
  recorded: null,
  noRoom: null,
}

/**
 * Write `report.html` of a run from the files of the run.
 * @returns its path
 * @throws UsageError if the folder holds no run
 */
export async function writeRunReport(directory: string): Promise<string> {
  const run = await readRun(directory)
  return await writeReport(directory, { title: run.name, runs: [run] })
}

/** Write the page as `writeRunReport` does; if that fails, only warn, so that the run keeps its result. */
export async function tryRunReport(directory: string, warn: (text: string) => void): Promise<void> {
  await writeRunReport(directory).catch((error: unknown) =>
    warn(`report.html cannot be written: ${error instanceof Error ? error.message : error}`),
  )
}

/**
 * Write `report.html` of a demo from its `demo.json`, its runs and the summaries under `evaluation/`.
 * @returns its path
 */
export async function writeDemoReport(out: string): Promise<string> {
  const { jobs } = (await readForeignJson(join(out, 'demo.json'))) as { jobs: readonly { job: string }[] }
  const runs = await Promise.all(jobs.map(({ job }) => readRun(join(out, job))))
  const evaluations: EvaluationTable[] = []
  for (const run of runs) {
    const summary = await orMissing(readForeignJson(join(out, 'evaluation', run.name, 'summary.json')))
    if (summary !== null)
      evaluations.push(
        evaluationTable(`${run.name} on held-out phantoms`, summary as Summary, run.labelNames),
      )
  }
  return await writeReport(out, { title: 'freetumor demo', runs, evaluations })
}

/**
 * Write `report.html` next to a ledger that belongs to no run, such as that of an offline synthesis.
 * @param path the ledger, or the folder that holds `ledger.jsonl`
 * @returns the path of the page
 */
export async function writeLedgerReport(path: string): Promise<string> {
  const ledger = resolve(path.endsWith('.jsonl') ? path : join(path, 'ledger.jsonl'))
  const tumors = await orMissing(tallyTumors(readJsonLog<LedgerEntry>(ledger)))
  if (tumors === null)
    throw new UsageError(
      `${path}: holds no run (config.resolved.yaml), demo (demo.json), evaluation (measures.jsonl) or ledger (ledger.jsonl)`,
      {
        hint: 'name the --out of `freetumor train`, `demo`, `evaluate` or `synthesize`, or a ledger',
      },
    )
  const folder = dirname(ledger)
  const problems: string[] = []
  const pictures = await readPictures(join(folder, 'pictures'), problems)
  const reviews = await readReviewSummary(folder)
  const ledgers = [{ name: 'Synthetic tumors', tumors, pictures: examples(pictures), problems, reviews }]
  return await writeReport(folder, { title: basename(folder), ledgers })
}

/** Return the first accepted and the first rejected tumors, at most the same number of each. */
function examples(pictures: readonly TumorPicture[]): readonly TumorPicture[] {
  const of = (verdict: string): TumorPicture[] =>
    pictures.filter((picture) => picture.verdict === verdict).slice(0, MAX_EXAMPLES)
  return [...of('accepted'), ...of('rejected')]
}

/** Write the page of a run, a demo, an evaluation or a ledger at `path`. */
export async function writeAnyReport(path: string): Promise<string> {
  const holds = async (name: string): Promise<boolean> =>
    (await orMissing(access(join(path, name)).then(() => true))) !== null
  if (path.endsWith('.jsonl')) return await writeLedgerReport(path)
  if (await holds('demo.json')) return await writeDemoReport(path)
  if (await holds('measures.jsonl')) return await writeEvaluationPage(path)
  return (await holds('config.resolved.yaml')) ? await writeRunReport(path) : await writeLedgerReport(path)
}

async function writeReport(folder: string, input: Partial<ReportInput> & { title: string }): Promise<string> {
  const path = join(folder, 'report.html')
  const made = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`
  await writeWhole(path, renderReport({ runs: [], evaluations: [], ledgers: [], ...input, made }))
  return path
}

/** Read the content of a report from a run. A missing or damaged file becomes a sentence of the report. */
export async function readRun(directory: string): Promise<RunReport> {
  const configText = await readFile(join(directory, 'config.resolved.yaml'), 'utf8').catch(() => {
    throw new UsageError(`${directory}: holds no run (expected config.resolved.yaml, found none)`, {
      hint: 'name a run directory, the --out of `freetumor train`, or a demo',
    })
  })
  const problems: string[] = []
  const events = await orMissing(readAll(readEvents(join(directory, 'events.jsonl'))))
  if (events === null) problems.push('events.jsonl is missing: what happened in this run is not known.')
  const ledger = join(directory, 'ledger.jsonl')
  const tumors = await orMissing(tallyTumors(ledgersOf(directory)))
  const pictures = await readPictures(join(directory, 'pictures'), problems)
  const verdicts = await verdictsOf(pictures, ledger)
  return {
    name: basename(resolve(directory)),
    events: events ?? [],
    configText,
    labelNames: await labelNames(directory),
    tumors,
    pictures: pictures.map((picture) => ({
      ...picture,
      verdict: picture.verdict ?? verdicts.get(picture.attempt) ?? null,
    })),
    problems,
    reviews: await readReviewSummary(directory),
  }
}

/** Read the ledger of a run, then those of its other nodes that exist in this directory. */
async function* ledgersOf(directory: string): AsyncIterable<LedgerLine> {
  yield* readJsonLog<LedgerLine>(join(directory, 'ledger.jsonl'))
  const names = await readdir(directory)
  for (const name of names.filter((one) => NODE_LEDGER.test(one)).sort())
    yield* readJsonLog<LedgerLine>(join(directory, name))
}

/** Return a summary as a table. */
function evaluationTable(title: string, summary: Summary, labelNames: readonly string[]): EvaluationTable {
  const { failedCases, classes, tumorDice, tumorNsd, lesions, bootstrap } = summary
  const failed = failedCases.length > 0 ? [`Not measured, and in no figure: ${failedCases.join(', ')}.`] : []
  return {
    title,
    grid: summary.grid,
    level: bootstrap.level,
    rows: [
      evaluationRow('tumor Dice', tumorDice),
      ...(tumorNsd === null ? [] : [evaluationRow('tumor surface Dice', tumorNsd)]),
      ...Object.entries(classes).map(([id, { dice }]) =>
        evaluationRow(`Dice of ${labelNames[Number(id)] ?? `label ${id}`}`, dice),
      ),
      ...(lesions === null
        ? []
        : [
            evaluationRow('lesion sensitivity', lesions.all.sensitivity),
            evaluationRow('lesion precision', lesions.all.precision),
          ]),
    ],
    warnings: failed,
  }
}

function evaluationRow(name: string, figure: Summary['tumorDice']): EvaluationRow {
  if (figure === null) return { name, mean: null, low: null, high: null, n: 0 }
  return { name, mean: figure.mean, low: figure.ci?.[0] ?? null, high: figure.ci?.[1] ?? null, n: figure.n }
}

async function readAll(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

/** Return the result; null if the file does not exist. */
async function orMissing<T>(reading: Promise<T>): Promise<T | null> {
  return reading.catch((error: Error) => {
    const { code } = (error.cause ?? error) as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  })
}

async function readPictures(folder: string, problems: string[]): Promise<TumorPicture[]> {
  const names = (await orMissing(readdir(folder))) ?? []
  const pictures: TumorPicture[] = []
  for (const name of names.filter((one) => one.endsWith('.json')).sort()) {
    try {
      const shown = `pictures/${name}`
      pictures.push(
        parseTumorPicture(shown, parseForeignJson(await readForeignText(join(folder, name)), shown)),
      )
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      problems.push(`${error.message}.`)
    }
  }
  return pictures
}

/** Return the verdicts of the tumors in the pictures, by attempt. */
async function verdictsOf(pictures: readonly TumorPicture[], ledger: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  if (pictures.length === 0) return found
  const wanted = new Set(pictures.map(({ attempt }) => attempt))
  const search = async (): Promise<void> => {
    for await (const line of readJsonLog<LedgerLine>(ledger)) {
      const verdict = VERDICTS[line.verdict]
      if (verdict && wanted.has(attemptOf(line))) found.set(attemptOf(line), verdict)
    }
  }
  await orMissing(search())
  return found
}

/** Return the labels that the segmentor learns, from the plan of the run; empty without a plan. */
async function labelNames(directory: string): Promise<readonly string[]> {
  const plan = (await orMissing(readForeignJson(join(directory, 'plan.json')))) as {
    labelNames?: unknown
  } | null
  const names = plan?.labelNames
  return Array.isArray(names) ? names.map(String) : []
}
