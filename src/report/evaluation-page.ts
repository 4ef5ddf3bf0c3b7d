import { counted } from '../plain-text.js'
import { lineChart, type Point } from './chart.js'
import { type ComparisonReport, comparisonSection } from './comparison-section.js'
import { escapeHtml } from './escape-html.js'
import { type EvaluationTable, evaluationTable } from './evaluation-section.js'
import { type MaskNames, maskFigures } from './mask-figures.js'
import type { MaskPicture } from './mask-pictures.js'
import { openScroll } from './scroll.js'
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
  /** Origin of the page, as displayed. */
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
  /** Null without a second set of masks. */
  readonly comparison: ComparisonReport | null
  /** Definition of each figure, and the treatment of cases without a tumor. */
  readonly rules: readonly (readonly [term: string, text: string])[]
}

const MAX_CASES = 200
const NO_PICTURES =
  '<p class="missing">There are no pictures of cases. <code>evaluate --pictures 6 --images DIR</code> makes them.</p>'

/** Render the page of an evaluation as HTML without external resources. */
export function renderEvaluation(page: EvaluationPage): string {
  const { title, made, facts, warnings, figures, comparison, rules } = page
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>${escapeHtml(title)}</h1><p class="quiet">${escapeHtml(made)}</p>
${terms(facts)}</header>
<main>
<section id="figures"><h2>Figures</h2>
${warnings.length > 0 ? `<ul class="warnings">${warnings.map((text) => `<li class="warning">${escapeHtml(text)}</li>`).join('')}</ul>` : ''}
${evaluationTable(figures)}
${amounts(page.amounts)}
${charts(page)}</section>
${sizes(page.sizes)}
${comparison === null ? '' : comparisonSection(comparison)}
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
  return `${openScroll('False positives')}<table><caption>False positives</caption>
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
  return drawn.join('') === '' ? '' : `<h3>Curves</h3><div class="columns">${drawn.join('\n')}</div>`
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
  return `<section id="lesions"><h2>Lesions</h2>${openScroll('Lesions by size')}<table><caption>By size, and by required overlap</caption>
<thead><tr><th scope="col">lesions</th><th scope="col">detected</th><th scope="col">predicted</th><th scope="col">sensitivity</th><th scope="col">precision</th><th scope="col">F1</th><th scope="col">lesion Dice</th></tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div></section>`
}

function worst({ cases, pictures, comparison }: EvaluationPage): string {
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
${pictures.length > 0 ? `<h3>Worst cases <span class="quiet">slices through the largest difference</span></h3>${maskFigures(pictures, caseCaptions(cases, comparison), namesOf(comparison))}` : NO_PICTURES}
${openScroll('Cases')}<table><caption>${counted(cases.length, 'case')}${rest > 0 ? ` <span class="quiet">the ${rest} best cases are only in cases.csv</span>` : ''}</caption>
<thead><tr><th scope="col">case</th><th scope="col">Dice</th><th scope="col">NSD</th><th scope="col">true ml</th><th scope="col">predicted ml</th>${heads}</tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div></section>`
}

/** Return the figures of each case in words, by its name. */
export function caseCaptions(
  cases: readonly CaseLine[],
  comparison: ComparisonReport | null,
): ReadonlyMap<string, string> {
  const others = new Map(comparison?.cases.map((one) => [one.name, one.second]))
  return new Map(
    cases.map(({ name, dice, trueMl, predictedMl }) => {
      const second = others.get(name)
      const against = second === undefined ? '' : ` (${comparison!.second} ${share(second)})`
      return [
        name,
        `Dice ${share(dice)}${against}, true ${short(trueMl)} ml, predicted ${short(predictedMl)} ml`,
      ]
    }),
  )
}

function namesOf(comparison: ComparisonReport | null): MaskNames {
  return comparison === null
    ? { predicted: 'mask', against: 'other mask' }
    : { predicted: comparison.first, against: comparison.second }
}

function share(value: number | null): string {
  return value === null ? '–' : value.toFixed(3)
}
