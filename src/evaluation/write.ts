import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { csvField } from '../plain-text.js'
import { typedSystemError } from '../system-errors.js'
import { writeWhole } from '../whole-file.js'
import { matchLesions } from './lesion-matching.js'
import type { CaseMeasures, OverlapMeasures } from './measures.js'
import type { Profile } from './profiles.js'
import type { Summary } from './summary.js'

type Cell = string | number | null

/**
 * Write `summary.json`, `cases.csv` (one line per case and label; `tumor` for all tumor labels together),
 * `lesions.csv` and `measures.jsonl` (all measures, one line per case) into an existing folder, each
 * completely or not at all. A summary never exists without its tables, even if the disk fills up meanwhile.
 * @throws EnvironmentError if a file cannot be written
 */
export async function writeEvaluation(
  folder: string,
  summary: Summary,
  cases: readonly CaseMeasures[],
  profile: Profile,
): Promise<void> {
  const summaryFile = join(folder, 'summary.json')
  await rm(summaryFile, { force: true }).catch((error: unknown) => {
    throw typedSystemError(error, summaryFile)
  })
  await writeWhole(join(folder, 'cases.csv'), casesTable(cases, profile))
  await writeWhole(join(folder, 'lesions.csv'), lesionsTable(cases, profile))
  await writeWhole(join(folder, 'measures.jsonl'), cases.map((one) => `${JSON.stringify(one)}\n`).join(''))
  await writeJson(summaryFile, summary)
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, `${JSON.stringify(value, null, 2)}\n`)
}

function casesTable(cases: readonly CaseMeasures[], { nsdTolerancesMm }: Profile): string {
  // the column of the first tolerance is called `nsd`
  const surfaces = nsdTolerancesMm.slice(1).map((mm) => `nsd_${mm}mm`)
  const header = ['case', 'grid', 'label', 'true_positive', 'false_positive', 'false_negative', 'dice', 'nsd']
  const row = (item: CaseMeasures, label: Cell, measures: OverlapMeasures): Cell[] => {
    const voxelMl = item.spacingMm.reduce((product, mm) => product * mm, 1) / 1000
    const { truePositive, falsePositive, falseNegative, dice, nsd } = measures
    return [
      item.caseId,
      item.grid,
      label,
      truePositive,
      falsePositive,
      falseNegative,
      dice,
      nsd[0] ?? null,
      ...surfaces.map((_, at) => nsd[at + 1] ?? null),
      item.patient,
      (truePositive + falseNegative) * voxelMl,
      (truePositive + falsePositive) * voxelMl,
    ]
  }
  const rows = cases.flatMap((item) => [
    ...item.labels.map((measures) => row(item, measures.label, measures)),
    ...(item.tumor === null ? [] : [row(item, 'tumor', item.tumor)]),
  ])
  return table([...header, ...surfaces, 'patient', 'true_ml', 'predicted_ml'], rows)
}

function lesionsTable(cases: readonly CaseMeasures[], { lesionIous }: Profile): string {
  const place = ['case', 'kind', 'label', 'volume_ml', 'diameter_mm', 'x_mm', 'y_mm', 'z_mm', 'matched']
  const more = ['patient', 'voxels', 'score', 'best_iou', 'dice']
  const rows = cases.flatMap((one) =>
    matchLesions(one, lesionIous).map(({ lesion, matched, matchedAtIou, bestIou, dice }): Cell[] => [
      one.caseId,
      lesion.kind,
      lesion.label,
      lesion.volumeMl,
      lesion.diameterMm,
      ...lesion.centreMm,
      matched ? 1 : 0,
      one.patient,
      lesion.voxels,
      lesion.score,
      bestIou,
      dice,
      ...matchedAtIou.map((pair) => (pair ? 1 : 0)),
    ]),
  )
  return table([...place, ...more, ...lesionIous.map((iou) => `matched_iou_${iou}`)], rows)
}

function table(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map((row) => `${row.map((value) => csvField(value ?? '')).join(',')}\n`).join('')
}
