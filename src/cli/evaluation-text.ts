import { TOO_FEW_PATIENTS } from '../evaluation/bootstrap.js'
import type { PairedFigure } from '../evaluation/compare.js'
import type { Figure, LesionSummary, MatchRates, Summary } from '../evaluation/summary.js'
import type { Evaluation } from '../pipeline/evaluate/run.js'
import { counted } from '../plain-text.js'

/** Return the figures as text. A label that no case has is omitted. */
export function evaluationText({ summary, against }: Evaluation, names: readonly string[]): string[] {
  const failed = summary.failedCases.length
  const head = `profile ${summary.profile}: ${counted(summary.numCases, 'case')} on the ${summary.grid} grid${failed > 0 ? `, ${failed} failed` : ''}`
  const rows = [...overlapRows(summary, names), ...(summary.lesions ? lesionRows(summary.lesions) : [])]
  const lines = rows.flatMap(([name, figure]) => (figure ? [`${name.padEnd(28)} ${figureText(figure)}`] : []))
  const compared = against ? comparisonLines(against.comparison) : []
  const figures = [...rows.map(([, figure]) => figure), ...differencesOf(against)]
  const few = figures.some((figure) => figure?.ci === null) ? [TOO_FEW_PATIENTS] : []
  const removed = summary.operatingPoint?.removedLesions
  const rule = removed === undefined ? [] : [`operating point: ${counted(removed, 'lesion')} removed`]
  return [head, ...rule, ...lines, ...compared, ...few]
}

function differencesOf(against: Evaluation['against']): Figure[] {
  return against?.comparison.figures.map(({ difference }) => difference) ?? []
}

type Row = readonly [name: string, figure: Figure | null | undefined]

function overlapRows(summary: Summary, names: readonly string[]): Row[] {
  const surfaces = (name: string, atMm: Readonly<Record<string, Figure | null>>): Row[] =>
    Object.entries(atMm).map(([mm, figure]) => [`${name}, NSD ${mm} mm`, figure])
  return [
    ...Object.entries(summary.classes).flatMap(([id, { dice, nsdAtMm = {} }]): Row[] => {
      const name = `${id} ${names[Number(id)] ?? ''}`.trim()
      return [[`${name}, Dice`, dice], ...surfaces(name, nsdAtMm)]
    }),
    ['mean over labels, Dice', summary.meanDice],
    ['all tumor, Dice', summary.tumorDice],
    ...surfaces('all tumor', summary.tumorNsdAtMm),
  ]
}

function lesionRows(lesions: LesionSummary): Row[] {
  const rates = (name: string, { sensitivity, precision, f1 }: MatchRates): Row[] => [
    [`${name}, sensitivity`, sensitivity],
    [`${name}, precision`, precision],
    [`${name}, F1`, f1],
  ]
  return [
    ...rates('lesions', lesions.all),
    ['lesions, Dice', lesions.all.lesionDice],
    ...lesions.all.atIou.flatMap((at) => rates(`lesions at IoU ${at.iou}`, at)),
    ...lesions.bins.flatMap((bin) =>
      rates(`${bin.by === 'radiusMm' ? 'radius' : 'diameter'} ${bin.from} to ${bin.to ?? '-'} mm`, bin),
    ),
    ['false-positive volume (ml)', lesions.falsePositiveVolumeMl],
    ['false positives', lesions.falsePositiveCount],
    ['healthy, lesion-free rate', lesions.healthy.lesionFree ?? null],
    ['healthy, FP volume (ml)', lesions.healthy.falsePositiveVolumeMl],
    ['healthy, false positives', lesions.healthy.falsePositiveCount],
    ['patients, sensitivity', lesions.patientSensitivity],
    ['patients, specificity', lesions.patientSpecificity],
    [`patients, AUC by ${lesions.scoredBy === 'volumeMl' ? 'volume' : 'probability'}`, lesions.patientAuc],
    ['FROC, mean sensitivity', lesions.froc?.mean],
  ]
}

function figureText({ mean, ci, n }: Figure): string {
  const interval = ci ? `95 % ${ci[0].toFixed(4)} to ${ci[1].toFixed(4)}, ` : ''
  return `${mean.toFixed(4)} (${interval}${counted(n, 'case')})`
}

function comparisonLines({
  first,
  second,
  figures,
}: {
  first: string
  second: string
  figures: readonly PairedFigure[]
}): string[] {
  const lines = figures.map(({ name, difference, bootstrapP, wilcoxon }) => {
    const ranks = wilcoxon ? `, Wilcoxon p ${wilcoxon.p.toPrecision(2)}` : ''
    const resampled = bootstrapP === null ? '' : `, bootstrap p ${bootstrapP.toPrecision(2)}`
    return `${name.padEnd(28)} ${figureText(difference)}${resampled}${ranks}`
  })
  return ['', `${first} minus ${second}, on the same cases:`, ...lines]
}
