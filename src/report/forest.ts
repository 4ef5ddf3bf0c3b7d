import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'
import { short } from './wording.js'

/** One figure of two sets of masks. */
export interface ForestRow {
  readonly name: string
  readonly better: 'higher' | 'lower'
  readonly first: number
  readonly second: number
  /** first - second, with its interval. */
  readonly difference: number
  /** Null below 6 patients. */
  readonly low: number | null
  readonly high: number | null
  readonly n: number
  /** Null below 6 patients. */
  readonly bootstrapP: number | null
  /** Null if the figure has no value per case, if no case differs, and below 6 patients. */
  readonly wilcoxonP: number | null
  /** Cases with a figure in only one of the two sets. */
  readonly oneSided: number
}

export interface Forest {
  readonly title: string
  readonly names: readonly [first: string, second: string]
  readonly rows: readonly ForestRow[]
}

const [LEFT, RIGHT] = [6, 194]

/** Draw differences of one unit with their intervals. Right of the zero line, the first set is better. */
export function forestPlot({ title, names, rows }: Forest): string {
  if (rows.length === 0) return ''
  const reach =
    Math.max(
      ...rows.flatMap(({ difference, low, high }) => [difference, low ?? 0, high ?? 0].map(Math.abs)),
    ) || 1
  const [first, second] = names.map(escapeHtml)
  return `${openScroll(title, 'forest')}<table><caption>${escapeHtml(title)} <span class="quiet">difference: ${first} minus ${second}</span></caption>
<thead><tr><th scope="col">figure</th><th scope="col">${first}</th><th scope="col">${second}</th><th scope="col">difference</th><th scope="col">95 % interval</th><td class="plot scale"><span>worse</span><span>better</span></td><th scope="col">p, bootstrap</th><th scope="col">p, Wilcoxon</th><th scope="col">cases</th></tr></thead>
<tbody>${rows.map((row) => forestRow(row, reach)).join('\n')}</tbody></table></div>`
}

function forestRow(row: ForestRow, reach: number): string {
  const { name, better, first, second, difference, low, high, n, oneSided } = row
  const cells = [
    short(first),
    short(second),
    `<b>${signed(difference)}</b>`,
    low === null || high === null ? '–' : `${signed(low)} to ${signed(high)}`,
    null,
    pValue(row.bootstrapP),
    pValue(row.wilcoxonP),
    `${n}${oneSided > 0 ? ` <span class="quiet">(${oneSided} in one set only)</span>` : ''}`,
  ]
  const told = better === 'lower' ? ' <span class="quiet">lower is better</span>' : ''
  const plot = `<td class="plot">${interval(row, reach)}</td>`
  return `<tr><th scope="row">${escapeHtml(name)}${told}</th>${cells.map((cell) => (cell === null ? plot : `<td>${cell}</td>`)).join('')}</tr>`
}

function interval({ better, difference, low, high }: ForestRow, reach: number): string {
  const sign = better === 'higher' ? 1 : -1
  const middle = (LEFT + RIGHT) / 2
  const at = (value: number): string => (middle + (sign * value * (RIGHT - LEFT)) / 2 / reach).toFixed(1)
  return `<svg viewBox="0 0 200 18" aria-hidden="true"><path class="grid" d="M${middle} 0V18"/><path class="line look0" d="M${at(low ?? difference)} 9H${at(high ?? difference)}"/><rect class="look0" x="${(Number(at(difference)) - 3.5).toFixed(1)}" y="5.5" width="7" height="7"/></svg>`
}

/** Return a number with its sign. */
export function signed(value: number, format: (size: number) => string = short): string {
  return `${value > 0 ? '+' : value < 0 ? '−' : ''}${format(Math.abs(value))}`
}

function pValue(p: number | null): string {
  if (p === null) return '–'
  return p < 0.001 ? '&lt; 0.001' : p.toFixed(3)
}
