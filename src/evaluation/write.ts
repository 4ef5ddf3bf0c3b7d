import { randomUUID } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaseMeasures, OverlapMeasures, Summary } from './summary.js'

type Cell = string | number | null

/**
 * Writes `summary.json`, `cases.csv` (one line a case and label, `tumor` for all tumor labels as one) and `lesions.csv` into
 * an existing folder, each whole or not at all.
 */
export async function writeEvaluation(
  folder: string,
  summary: Summary,
  cases: readonly CaseMeasures[],
): Promise<void> {
  await writeAside(join(folder, 'cases.csv'), casesTable(cases))
  await writeAside(join(folder, 'lesions.csv'), lesionsTable(cases))
  // Last: who sees the summary finds the tables that belong to it.
  await writeAside(join(folder, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
}

function casesTable(cases: readonly CaseMeasures[]): string {
  const header = ['case', 'grid', 'label', 'true_positive', 'false_positive', 'false_negative', 'dice', 'nsd']
  const row = (item: CaseMeasures, label: Cell, measures: OverlapMeasures): Cell[] => [
    item.caseId,
    item.grid,
    label,
    measures.truePositive,
    measures.falsePositive,
    measures.falseNegative,
    measures.dice,
    measures.nsd,
  ]
  const rows = cases.flatMap((item) => [
    ...item.labels.map((measures) => row(item, measures.label, measures)),
    ...(item.tumor === null ? [] : [row(item, 'tumor', item.tumor)]),
  ])
  return table(header, rows)
}

function lesionsTable(cases: readonly CaseMeasures[]): string {
  const header = ['case', 'kind', 'label', 'volume_ml', 'diameter_mm', 'x_mm', 'y_mm', 'z_mm', 'matched']
  const rows = cases.flatMap(({ caseId, lesions }) =>
    lesions.map(({ kind, label, volumeMl, diameterMm, centreMm, matched }) => [
      caseId,
      kind,
      label,
      volumeMl,
      diameterMm,
      ...centreMm,
      matched ? 1 : 0,
    ]),
  )
  return table(header, rows)
}

function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\n`).join('')
}

function cell(value: Cell): string {
  const text = String(value ?? '')
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

async function writeAside(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}.tmp`
  await writeFile(aside, text, { flush: true })
  await rename(aside, path)
}
