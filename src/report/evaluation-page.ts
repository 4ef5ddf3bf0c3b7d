import { counted } from '../plain-text.js'
import { lineChart, type Point } from './chart.js'
import { escapeHtml } from './escape-html.js'
import { type EvaluationTable, evaluationTable } from './evaluation-section.js'
import { type Forest, forestPlot } from './forest.js'
import { type MaskPicture, maskPng } from './mask-pictures.js'
import { STYLE } from './style.js'
import { short } from './wording.js'

/** A figure with its interval; null if undefined. */
export type Told = {
  readonly mean: number
  /** Null below 6 patients. */
  readonly low: number | null
  readonly high: number | null
} | null

/** Lesions of one size. */
export interface SizeRow {
  readonly name: string
  readonly found: number
  readonly all: number
  readonly predicted: number
  readonly sensitivity: Told
  readonly precision: Told
  readonly f1: Told
  readonly dice: Told
}

/** A figure that is not a fraction, such as a volume. */
export interface AmountRow {
  readonly name: string
  readonly amount: Told
  readonly n: number
}

export interface CaseLine {
  readonly name: string
  /** Null: neither mask nor label has a tumor. */
  readonly dice: number | null
  readonly nsd: number | null
  readonly trueMl: number
  readonly predictedMl: number
  /** Detected lesions, true lesions and false positives; null if lesions were not compared. */
  readonly lesions: { readonly found: number; readonly all: number; readonly wrong: number } | null
}

export interface EvaluationPage {
  readonly title: string
  /** Time of writing, as displayed. */
  readonly made: string
  readonly facts: readonly (readonly [term: string, text: string])[]
  readonly warnings: readonly string[]
  readonly figures: EvaluationTable
  readonly amounts: readonly AmountRow[]
  readonly sizes: readonly SizeRow[]
  /** FROC points: lesion sensitivity over false positives per case, ascending; may be empty. */
  readonly froc: readonly Point[]
  /** Worst first. */
  readonly cases: readonly CaseLine[]
  readonly pictures: readonly MaskPicture[]
  readonly forests: readonly Forest[]
  /** Definition of each figure, and the treatment of cases without a tumor. */
  readonly rules: readonly (readonly [term: string, text: string])[]
}

const MAX_CASES = 200

/** Render the page of an evaluation as HTML without external resources. */
export function renderEvaluation(page: EvaluationPage): string {
  const { title, made, facts, warnings, figures, forests, rules } = page
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1><p class="quiet">written ${escapeHtml(made)} by freetumor</p>
${terms(facts)}</header>
<main>
<section id="figures"><h2>Figures</h2>
${warnings.length > 0 ? `<ul class="warnings">${warnings.map((text) => `<li class="warning">${escapeHtml(text)}</li>`).join('')}</ul>` : ''}
${evaluationTable(figures)}
${amounts(page.amounts)}
${charts(page)}</section>
${sizes(page.sizes)}
${forests.length > 0 ? `<section id="comparison"><h2>Comparison</h2><p class="quiet">Differences on the same cases; intervals and p values from resampled patients. The p values are not adjusted for multiple comparisons.</p>${forests.map(forestPlot).join('\n')}</section>` : ''}
${worst(page)}
<section id="rules"><h2>Definitions</h2>${terms(rules)}</section>
</main>
</body>
</html>
`
}

function terms(list: readonly (readonly [string, string])[]): string {
  return `<dl>${list.map(([term, text]) => `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(text)}</dd></div>`).join('')}</dl>`
}

function amounts(rows: readonly AmountRow[]): string {
  const some = rows.filter(({ amount }) => amount !== null)
  if (some.length === 0) return ''
  const lines = some.map(
    ({ name, amount, n }) =>
      `<tr><th scope="row">${escapeHtml(name)}</th><td><b>${short(amount!.mean)}</b></td><td>${range(amount, short)}</td><td>${n}</td></tr>`,
  )
  return `<div class="scroll"><table><caption>False positives</caption>
<thead><tr><th scope="col">figure</th><th scope="col">mean</th><th scope="col">interval</th><th scope="col">cases</th></tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div>`
}

function range(told: Told, format: (value: number) => string): string {
  if (told === null || told.low === null || told.high === null) return '–'
  return `${format(told.low)} – ${format(told.high)}`
}

function charts({ cases, froc }: EvaluationPage): string {
  const ranked = cases.flatMap(({ dice }) => dice ?? []).map((dice, at): Point => [at + 1, dice])
  const drawn = [
    ranked.length < 2
      ? ''
      : lineChart([{ name: 'Dice', points: ranked }], {
          title: 'Every case, worst first',
          x: 'case',
          y: 'Dice',
          range: [0, 1],
          dots: true,
          means: 1000,
        }),
    froc.length < 2
      ? ''
      : lineChart([{ name: 'lesion sensitivity', points: froc }], {
          title: 'FROC',
          x: 'false positives per case',
          y: 'sensitivity',
          range: [0, 1],
          spread: false,
          means: 400,
        }),
  ]
  return drawn.join('') === '' ? '' : `<div class="columns">${drawn.join('\n')}</div>`
}

function sizes(rows: readonly SizeRow[]): string {
  if (rows.length === 0) return ''
  const cell = (told: Told): string =>
    told === null
      ? '<td class="quiet">–</td>'
      : `<td><b>${told.mean.toFixed(3)}</b> <span class="quiet">${range(told, (value) => value.toFixed(2))}</span></td>`
  const lines = rows.map(({ name, found, all, predicted, sensitivity, precision, f1, dice }) => {
    const figures = [sensitivity, precision, f1, dice].map(cell).join('')
    return `<tr><th scope="row">${escapeHtml(name)}</th><td>${found} of ${all}</td><td>${predicted}</td>${figures}</tr>`
  })
  return `<section id="lesions"><h2>Lesions</h2><div class="scroll"><table><caption>By size, and by required overlap</caption>
<thead><tr><th scope="col">lesions</th><th scope="col">detected</th><th scope="col">predicted</th><th scope="col">sensitivity</th><th scope="col">precision</th><th scope="col">F1</th><th scope="col">lesion Dice</th></tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div></section>`
}

function worst({ cases, pictures }: EvaluationPage): string {
  if (cases.length === 0) return ''
  const shown = cases.slice(0, MAX_CASES)
  const rest = cases.length - shown.length
  const lines = shown.map(({ name, dice, nsd, trueMl, predictedMl, lesions }) => {
    const told =
      lesions === null ? '' : `<td>${lesions.found} of ${lesions.all}</td><td>${lesions.wrong}</td>`
    return `<tr><th scope="row">${escapeHtml(name)}</th><td>${share(dice)}</td><td>${share(nsd)}</td><td>${short(trueMl)}</td><td>${short(predictedMl)}</td>${told}</tr>`
  })
  const heads =
    shown[0]!.lesions === null ? '' : '<th scope="col">lesions found</th><th scope="col">false positives</th>'
  return `<section id="cases"><h2>Cases, worst first</h2>
${pictures.length > 0 ? `<h4>Worst cases <span class="quiet">label green, mask orange; slices through the largest difference; the patient’s right is on the left</span></h4><div class="masks">${pictures.map((one) => figure(one, cases)).join('\n')}</div>` : ''}
<div class="scroll"><table><caption>${counted(cases.length, 'case')}${rest > 0 ? ` <span class="quiet">the ${rest} best cases are only in cases.csv</span>` : ''}</caption>
<thead><tr><th scope="col">case</th><th scope="col">Dice</th><th scope="col">NSD</th><th scope="col">true ml</th><th scope="col">predicted ml</th>${heads}</tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div></section>`
}

function figure({ caseId, planes }: MaskPicture, cases: readonly CaseLine[]): string {
  const line = cases.find(({ name }) => name === caseId)
  const told = line
    ? `Dice ${share(line.dice)}, true ${short(line.trueMl)} ml, predicted ${short(line.predictedMl)} ml`
    : ''
  const names = planes.map(({ name }) => name).join(', ')
  const alt = `${names} slices of ${caseId} with the tumor of label and mask outlined; ${told}`
  const source = `data:image/png;base64,${maskPng(planes).toString('base64')}`
  return `<figure><img loading="lazy" alt="${escapeHtml(alt)}" src="${source}"><figcaption>${escapeHtml(caseId)} <span class="quiet">${escapeHtml(told)}</span></figcaption></figure>`
}

function share(value: number | null): string {
  return value === null ? '–' : value.toFixed(3)
}
