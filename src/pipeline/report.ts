import { readdir, readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { UsageError } from '../errors.js'
import type { Summary } from '../evaluation/summary.js'
import { type EvaluationRow, type ReportInput, type RunReport, renderReport } from '../report/html.js'
import type { TumorSlice } from '../report/pictures.js'
import { readEvents } from '../training/event-log.js'
import type { RunEvent } from '../training/events.js'
import { writeWhole } from '../training/run-directory.js'

/** (Re)makes `report.html` of a run from what the run left behind; returns its path. */
export async function writeRunReport(directory: string): Promise<string> {
  const run = await readRun(directory)
  return await writeReport(directory, { title: run.name, runs: [run], evaluations: [] })
}

/** One page for several runs and the evaluations of their weights. */
export async function writeReport(folder: string, input: Omit<ReportInput, 'made'>): Promise<string> {
  const path = join(folder, 'report.html')
  await writeWhole(
    path,
    renderReport({ ...input, made: new Date().toISOString().slice(0, 19).replace('T', ' ') }),
  )
  return path
}

/** What a report tells of a run. @throws UsageError when the folder holds none */
export async function readRun(directory: string): Promise<RunReport> {
  const configText = await readFile(join(directory, 'config.resolved.yaml'), 'utf8').catch(() => {
    throw new UsageError(`${directory} holds no run (no config.resolved.yaml)`, {
      hint: 'name a run directory, the --out of `freetumor train`',
    })
  })
  const events: RunEvent[] = []
  for await (const event of readEvents(join(directory, 'events.jsonl'))) events.push(event)
  return { name: basename(resolve(directory)), events, configText, pictures: await readPictures(directory) }
}

/** The figures of a summary as rows of a table. */
export function evaluationRows(summary: Summary, labelNames: readonly string[]): EvaluationRow[] {
  const rows: [string, { mean: number; ci: readonly [number, number]; n: number } | null | undefined][] = [
    ['tumor Dice', summary.tumorDice],
    ...Object.entries(summary.classes).map(([id, { dice }]): [string, typeof dice] => [
      `Dice of ${labelNames[Number(id)] ?? `id ${id}`}`,
      dice,
    ]),
  ]
  return rows.flatMap(([name, figure]) =>
    figure ? [{ name, mean: figure.mean, low: figure.ci[0], high: figure.ci[1], n: figure.n }] : [],
  )
}

async function readPictures(directory: string): Promise<TumorSlice[]> {
  const folder = join(directory, 'pictures')
  const names = await readdir(folder).catch(() => [] as string[])
  return Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as TumorSlice),
  )
}
