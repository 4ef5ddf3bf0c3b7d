import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaseMeasures, Summary } from './summary.js'

/** Writes `summary.json`, `cases.csv` and `lesions.csv` into an existing folder, each whole or not at all. */
export async function writeEvaluation(
  folder: string,
  summary: Summary,
  cases: readonly CaseMeasures[],
): Promise<void> {
  await write(join(folder, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  const byLabel = cases.flatMap((item) =>
    item.labels.map((one) => [
      item.caseId,
      one.label,
      one.truePositive,
      one.falsePositive,
      one.falseNegative,
      one.nsd ?? '',
    ]),
  )
  await write(
    join(folder, 'cases.csv'),
    table(['case', 'label', 'true_positive', 'false_positive', 'false_negative', 'nsd'], byLabel),
  )
  const lesions = cases.flatMap((item) =>
    item.lesions.map((one) => [
      item.caseId,
      one.kind,
      one.label,
      one.volumeMl,
      one.diameterMm,
      one.detected ? 1 : 0,
    ]),
  )
  await write(
    join(folder, 'lesions.csv'),
    table(['case', 'kind', 'label', 'volume_ml', 'diameter_mm', 'detected'], lesions),
  )
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\n`).join('')
}

function cell(value: string | number): string {
  const text = String(value)
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(`${path}.tmp`, text)
  await rename(`${path}.tmp`, path)
}
