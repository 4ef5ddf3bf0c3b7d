import { readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { DataError } from '../../errors.js'
import { TOO_FEW_PATIENTS } from '../../evaluation/bootstrap.js'
import { type Comparison, comparisonProblem } from '../../evaluation/compare.js'
import { type CaseMeasures, falsePositives } from '../../evaluation/measures.js'
import { type Figure, type LesionRates, type Summary, summaryProblem } from '../../evaluation/summary.js'
import { caseDice, worstFirst } from '../../evaluation/worst.js'
import { parseForeignJson } from '../../foreign-text.js'
import { readJsonLog } from '../../jsonl.js'
import type { ComparisonReport } from '../../report/comparison-section.js'
import {
  type AmountRow,
  type CaseLine,
  caseCaptions,
  type EvaluationPage,
  renderEvaluation,
  type SizeRow,
  type Told,
} from '../../report/evaluation-page.js'
import type { EvaluationRow } from '../../report/evaluation-section.js'
import { type MaskPicture, parseMaskPicture } from '../../report/mask-pictures.js'
import { cannotBeRead } from '../../system-errors.js'
import { writeWhole } from '../../whole-file.js'
import { comparisonReport, labelName } from './comparison.js'
import { EVALUATION_RULES } from './evaluation-rules.js'
import { orMissing } from './missing.js'

/** Return the name of a picture: 0 is the worst case, 1 the second worst. */
export function pictureName(at: number): string {
  return `worst_${String(at).padStart(3, '0')}.json`
}

/** Remove the files of an earlier evaluation that this one does not overwrite. */
export async function removeOldPage(out: string): Promise<void> {
  const pictures = (await readdir(join(out, 'pictures')).catch(() => [])).filter(isPicture)
  const stale = ['comparison.json', ...pictures.map((name) => join('pictures', name))]
  await Promise.all(stale.map((name) => rm(join(out, name), { force: true })))
}

/**
 * Write `report.html` of an evaluation from summary.json, measures.jsonl, comparison.json and pictures/.
 * @returns its path
 * @throws DataError for a file that is damaged or from another version
 */
export async function writeEvaluationPage(out: string): Promise<string> {
  const path = join(out, 'report.html')
  const page = pageOf(await readEvaluation(out))
  const title = `Evaluation ${basename(out)}`
  await writeWhole(path, renderEvaluation({ ...page, title, made: 'made by freetumor' }))
  return path
}

/** Files of an evaluation. */
export interface EvaluationFiles {
  readonly summary: Summary
  readonly cases: readonly CaseMeasures[]
  /** Null without a second set of masks. */
  readonly comparison: Comparison | null
  /** Measures of the second set. */
  readonly others: readonly CaseMeasures[]
  readonly pictures: readonly MaskPicture[]
}

/** @throws DataError for a file that is damaged or from another version */
export async function readEvaluation(out: string): Promise<EvaluationFiles> {
  const summary = (await readJson(out, 'summary.json', summaryProblem)) as Summary
  const comparison = (await readJson(out, 'comparison.json', comparisonProblem, true)) as Comparison | null
  const cases = await readMeasures(join(out, 'measures.jsonl'))
  const others =
    comparison === null ? [] : ((await orMissing(readMeasures(join(out, 'against', 'measures.jsonl')))) ?? [])
  return { summary, cases, comparison, others, pictures: await readPictures(out) }
}

/** Return the figures of each case in words, by its name. */
export function captionsOf(
  cases: readonly CaseMeasures[],
  comparison: ComparisonReport,
): ReadonlyMap<string, string> {
  const lines = cases.map((one) => caseLine(one, false))
  return caseCaptions(lines, comparison)
}

async function readMeasures(path: string): Promise<CaseMeasures[]> {
  const cases: CaseMeasures[] = []
  for await (const one of readJsonLog<CaseMeasures>(path)) cases.push(one)
  return cases
}

function pageOf({
  summary,
  cases,
  comparison,
  others,
  pictures,
}: EvaluationFiles): Omit<EvaluationPage, 'title' | 'made'> {
  const { lesions, froc } = { lesions: summary.lesions, froc: summary.lesions?.froc ?? null }
  const failed = summary.failedCases
  const rows = figureRows(summary)
  const hasFew =
    rows.some(({ mean, low }) => mean !== null && low === null) ||
    (comparison?.figures.some(({ difference }) => difference.ci === null) ?? false)
  return {
    facts: [
      ['profile', summary.profile],
      ['grid', summary.grid],
      ['cases', String(summary.numCases)],
      ['patients', String(summary.numPatients)],
      ...(lesions
        ? [['lesions are scored by', lesions.scoredBy === 'volumeMl' ? 'volume' : 'probability'] as const]
        : []),
    ],
    warnings: [
      ...(failed.length > 0 ? [`Not measured, and in no figure: ${failed.join(', ')}.`] : []),
      ...summary.warnings,
      ...(hasFew ? [`${TOO_FEW_PATIENTS.replace('figures', 'Figures')}.`] : []),
    ],
    figures: {
      title: 'Means over cases',
      grid: summary.grid,
      level: summary.bootstrap.level,
      rows,
      warnings: [],
    },
    amounts: lesions === null ? [] : amountRows(lesions),
    sizes: lesions === null ? [] : sizeRows(lesions),
    froc: (froc?.points ?? []).map(({ falsePositivesPerCase, sensitivity }) => [
      falsePositivesPerCase,
      sensitivity,
    ]),
    cases: worstFirst(cases).map((one) => caseLine(one, lesions !== null)),
    pictures,
    comparison: comparison && comparisonReport(comparison, cases, others, summary.labelNames),
    rules: EVALUATION_RULES,
  }
}

function figureRows({
  tumorDice,
  tumorNsdAtMm,
  classes,
  meanDice,
  lesions,
  labelNames,
}: Summary): EvaluationRow[] {
  const rows: [string, Figure | null][] = [
    ['tumor Dice', tumorDice],
    ...Object.entries(tumorNsdAtMm).map(([mm, figure]): [string, Figure | null] => [
      `tumor NSD at ${mm} mm`,
      figure,
    ]),
    ['mean Dice over labels', meanDice],
    ...Object.entries(classes).flatMap(([id, { dice, nsdAtMm = {} }]): [string, Figure | null][] => [
      [`Dice of ${labelName(id, labelNames)}`, dice],
      ...Object.entries(nsdAtMm).map(([mm, figure]): [string, Figure | null] => [
        `NSD of ${labelName(id, labelNames)} at ${mm} mm`,
        figure,
      ]),
    ]),
    ...(lesions === null
      ? []
      : ([
          ['lesion sensitivity', lesions.all.sensitivity],
          ['lesion precision', lesions.all.precision],
          ['lesion F1', lesions.all.f1],
          ['lesion Dice', lesions.all.lesionDice],
          ['lesion-free rate of healthy scans', lesions.healthy.lesionFree ?? null],
          ['patient sensitivity', lesions.patientSensitivity],
          ['patient specificity', lesions.patientSpecificity],
          ['patient AUC', lesions.patientAuc],
          ['FROC, mean sensitivity', lesions.froc?.mean ?? null],
        ] satisfies [string, Figure | null][])),
  ]
  return rows
    .filter(([name, figure]) => figure !== null || name.startsWith('tumor'))
    .map(([name, figure]) => {
      if (figure === null) return { name, mean: null, low: null, high: null, n: 0 }
      return {
        name,
        mean: figure.mean,
        low: figure.ci?.[0] ?? null,
        high: figure.ci?.[1] ?? null,
        n: figure.n,
      }
    })
}

function told(figure: Figure | null): Told {
  return figure && { mean: figure.mean, low: figure.ci?.[0] ?? null, high: figure.ci?.[1] ?? null }
}

function amountRows({
  falsePositiveVolumeMl,
  falsePositiveCount,
  healthy,
}: NonNullable<Summary['lesions']>): AmountRow[] {
  const row = (name: string, figure: Figure | null): AmountRow => ({
    name,
    amount: told(figure),
    n: figure?.n ?? 0,
  })
  return [
    row('false-positive volume per case, ml', falsePositiveVolumeMl),
    row('false positives per case', falsePositiveCount),
    row('lesion-free rate of healthy cases', healthy.lesionFree ?? null),
    row('false-positive volume per healthy case, ml', healthy.falsePositiveVolumeMl),
    row('false positives per healthy case', healthy.falsePositiveCount),
  ]
}

function sizeRows({ all, bins }: NonNullable<Summary['lesions']>): SizeRow[] {
  const row = (name: string, rates: LesionRates): SizeRow => ({
    name,
    found: rates.numDetected,
    all: rates.numTrue,
    predicted: rates.numPredicted,
    sensitivity: told(rates.sensitivity),
    precision: told(rates.precision),
    f1: told(rates.f1),
    dice: told(rates.lesionDice),
  })
  return [
    row('all, any overlap', all),
    ...all.atIou.map(({ iou, ...rates }) => ({
      ...row(`all, pairs at IoU ${iou}`, { ...all, ...rates }),
      dice: null,
    })),
    ...bins.map((bin) => {
      const what = bin.by === 'radiusMm' ? 'radius' : 'diameter'
      return row(
        bin.to === null ? `${what} ${bin.from} mm or more` : `${what} ${bin.from} to ${bin.to} mm`,
        bin,
      )
    }),
  ]
}

function caseLine(one: CaseMeasures, withLesions: boolean): CaseLine {
  const voxelMl = one.spacingMm.reduce((product, mm) => product * mm, 1) / 1000
  const of = one.tumor === null ? one.labels : [one.tumor]
  const sum = (voxels: (part: (typeof of)[number]) => number): number =>
    of.reduce((total, part) => total + voxels(part), 0) * voxelMl
  const truth = one.lesions.filter(({ kind }) => kind === 'true')
  return {
    name: one.caseId,
    dice: caseDice(one),
    nsd: one.tumor?.nsd[0] ?? null,
    trueMl: sum(({ truePositive, falseNegative }) => truePositive + falseNegative),
    predictedMl: sum(({ truePositive, falsePositive }) => truePositive + falsePositive),
    lesions: withLesions
      ? {
          found: truth.filter(({ matched }) => matched).length,
          all: truth.length,
          wrong: falsePositives(one).length,
        }
      : null,
  }
}

async function readPictures(out: string): Promise<MaskPicture[]> {
  const names = (await readdir(join(out, 'pictures')).catch(() => [])).filter(isPicture).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(out, 'pictures', name), 'utf8')
      return parseMaskPicture(`pictures/${name}`, parsed(`pictures/${name}`, text))
    }),
  )
}

function isPicture(name: string): boolean {
  return /^worst_\d{3}\.json$/.test(name)
}

async function readJson(
  out: string,
  name: string,
  problemOf: (value: unknown) => string | null,
  optional = false,
): Promise<unknown> {
  const text = await readFile(join(out, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (optional && error.code === 'ENOENT') return null
    throw new DataError(cannotBeRead(join(out, name), error.code), { hint: 'run `freetumor evaluate` again' })
  })
  if (text === null) return null
  const value = parsed(name, text)
  const problem = problemOf(value)
  if (problem !== null)
    throw new DataError(`${join(out, name)}: malformed at ${problem}`, {
      hint: 'run `freetumor evaluate` again: the file is damaged, or from another version',
    })
  return value
}

function parsed(name: string, text: string): unknown {
  try {
    return parseForeignJson(text, name)
  } catch {
    throw new DataError(`${name}: is not JSON`, {
      hint: 'run `freetumor evaluate` again: the file is damaged',
    })
  }
}
