import { access, readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { loadConfig } from '../../config/load.js'
import { RECORD } from '../../config/paths.js'
import { UsageError } from '../../errors.js'
import type { Summary } from '../../evaluation/summary.js'
import { readForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { LedgerLine } from '../../quality/ledger.js'
import { comparisonSection } from '../../report/comparison-section.js'
import type { EvaluationRow, EvaluationTable } from '../../report/evaluation-section.js'
import { type ReportInput, renderReport } from '../../report/html.js'
import { maskFigures } from '../../report/mask-figures.js'
import type { RunReport } from '../../report/run-section.js'
import { type LedgerEntry, tallyTumors } from '../../report/tumor-tally.js'
import { readEvents } from '../../training/event-log.js'
import type { RunEvent } from '../../training/events.js'
import { writeWhole } from '../../whole-file.js'
import { readUsedCalibration } from '../quality-policy.js'
import { readReviewSummary } from '../review-summary.js'
import { comparisonReport } from './comparison.js'
import { captionsOf, readEvaluation, writeEvaluationPage } from './evaluation.js'
import { orMissing } from './missing.js'
import { readStepProfile } from './profile.js'
import { policyIn, readTumorPictures } from './tumor-pictures.js'

const NODE_LEDGER = /^ledger\.node-\d+\.jsonl$/

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
  const comparison = await comparisonOfDemo(join(out, 'evaluation', 'segmentation'))
  return await writeReport(out, { title: 'freetumor demo', runs, evaluations, comparison })
}

/** Return the section that compares segmentor and baseline; empty if the demo ended before both were evaluated. */
async function comparisonOfDemo(folder: string): Promise<string> {
  if ((await orMissing(access(join(folder, 'comparison.json')).then(() => true))) === null) return ''
  const { comparison, cases, others, pictures, summary } = await readEvaluation(folder)
  if (comparison === null) return ''
  const names = ['segmentor', 'baseline'] as const
  const report = comparisonReport(comparison, cases, others, summary.labelNames, names)
  if (pictures.length === 0) return comparisonSection(report)
  const [predicted, against] = names
  const figures = maskFigures(pictures, captionsOf(cases, report), { predicted, against })
  return comparisonSection(report, `<h3>Worst cases of the segmentor</h3>${figures}`)
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
  const policy = policyIn(await readForeignJson(join(folder, 'synthesis.json')).catch(() => null))
  const hint = 'Set `report.pictures` above 0 before `freetumor synthesize`.'
  const pictures = await readTumorPictures(folder, ledger, policy, hint, problems)
  const reviews = await readReviewSummary(folder)
  const ledgers = [{ name: 'Synthetic tumors', tumors, pictures, problems, reviews }]
  return await writeReport(folder, { title: basename(folder), ledgers })
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
  // not the time of writing: two pages of the same files are equal byte by byte
  const last = (input.runs ?? [])
    .flatMap(({ events }) => events.at(-1)?.time ?? [])
    .sort()
    .at(-1)
  const made = last === undefined ? 'made by freetumor' : `state of ${minuteOf(last)}, made by freetumor`
  await writeWhole(
    path,
    renderReport({ runs: [], evaluations: [], comparison: '', ledgers: [], ...input, made }),
  )
  return path
}

function minuteOf(time: string): string {
  return `${time.slice(0, 16).replace('T', ' ')} UTC`
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
  const policy = await loadConfig(join(directory, RECORD), { onNote: () => {} }).catch(() => null)
  const hint = 'Set `report.pictures` above 0 before the training.'
  const pictures = await readTumorPictures(directory, ledger, policy?.quality ?? null, hint, problems)
  return {
    name: basename(resolve(directory)),
    events: events ?? [],
    configText,
    labelNames: await labelNames(directory),
    tumors,
    pictures,
    problems,
    reviews: await readReviewSummary(directory),
    calibration: await readUsedCalibration(directory),
    profile: await readStepProfile(directory, problems),
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

/** Return the labels that the segmentor learns, from the plan of the run; empty without a plan. */
async function labelNames(directory: string): Promise<readonly string[]> {
  const plan = (await orMissing(readForeignJson(join(directory, 'plan.json')))) as {
    labelNames?: unknown
  } | null
  const names = plan?.labelNames
  return Array.isArray(names) ? names.map(String) : []
}
