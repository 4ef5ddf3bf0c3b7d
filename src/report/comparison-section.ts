import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { type Forest, forestPlot, signed } from './forest.js'
import { openScroll } from './scroll.js'

/** Dice of one case in both sets of masks, and the differences by class. */
export interface CaseDifference {
  readonly name: string
  /** Null: neither mask nor label has a tumor. */
  readonly first: number | null
  readonly second: number | null
  /** First minus second of each class; null if one of both has no Dice. */
  readonly classes: readonly (number | null)[]
}

/** Two sets of masks on the same cases. */
export interface ComparisonReport {
  readonly first: string
  readonly second: string
  readonly forests: readonly Forest[]
  readonly classNames: readonly string[]
  /** Largest loss of the first set first. */
  readonly cases: readonly CaseDifference[]
}

const MAX_CASES = 200
const [LEFT, RIGHT] = [4, 96]

/** Return the differences of two sets of masks: figures with intervals, then every case with its classes. */
export function comparisonSection(comparison: ComparisonReport, pictures = ''): string {
  const { first, second, forests } = comparison
  return `<section id="comparison"><h2>Comparison <span class="quiet">${escapeHtml(first)} against ${escapeHtml(second)}</span></h2>
<p class="note">Differences on the same cases; intervals and p values from resampled patients. The p values are not adjusted for multiple comparisons.</p>
${forests.map(forestPlot).join('\n')}
${caseTable(comparison)}
${pictures}</section>`
}

function caseTable({ first, second, classNames, cases }: ComparisonReport): string {
  if (cases.length === 0)
    return '<p class="missing">The measures of both sets by case are missing. Run <code>freetumor evaluate --against</code> again.</p>'
  const shown = cases.slice(0, MAX_CASES)
  const rest = cases.length - shown.length
  const reach = Math.max(...shown.map((one) => Math.abs(differenceOf(one) ?? 0))) || 1
  const heads = classNames.map((name) => `<th scope="col">${escapeHtml(name)}</th>`)
  const rows = shown.map((one) => {
    const difference = differenceOf(one)
    const classes = one.classes.map((value) => `<td>${colored(value)}</td>`)
    return `<tr><th scope="row">${escapeHtml(one.name)}</th><td>${dice(one.first)}</td><td>${dice(one.second)}</td><td><b>${colored(difference)}</b></td><td class="plot">${difference === null ? '' : bar(difference, reach)}</td>${classes.join('')}</tr>`
  })
  const more = rest > 0 ? ` <span class="quiet">the ${rest} largest gains are not shown</span>` : ''
  return `${openScroll('Differences by case and class')}<table><caption>Dice of ${counted(cases.length, 'case')}, largest loss first${more}</caption>
<thead><tr><th scope="col">case</th><th scope="col">${escapeHtml(first)}</th><th scope="col">${escapeHtml(second)}</th><th scope="col">difference</th><td class="plot scale"><span>loss</span><span>gain</span></td>${heads.join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`
}

/** Return first minus second; null if one of both has no Dice. */
export function differenceOf({ first, second }: Pick<CaseDifference, 'first' | 'second'>): number | null {
  return first === null || second === null ? null : first - second
}

/** Draw a bar from the middle, to the right for a gain. */
function bar(difference: number, reach: number): string {
  const middle = (LEFT + RIGHT) / 2
  const end = middle + (difference / reach) * (middle - LEFT)
  const [from, to] = [Math.min(middle, end), Math.max(middle, end)]
  const look = difference < 0 ? 'loss' : 'gain'
  return `<svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true"><path class="grid" d="M${middle} 0V14"/><rect class="${look}" x="${from.toFixed(1)}" y="3" width="${(to - from).toFixed(1)}" height="8"/></svg>`
}

/** Return a difference with three digits. Sign and colour agree. */
function colored(difference: number | null): string {
  if (difference === null) return '<span class="quiet">–</span>'
  const shown = Math.abs(difference).toFixed(3)
  if (shown === '0.000') return '<span class="quiet">0</span>'
  return `<span class="${difference < 0 ? 'failed' : 'completed'}">${signed(difference, (value) => value.toFixed(3))}</span>`
}

function dice(value: number | null): string {
  return value === null ? '<span class="quiet">–</span>' : value.toFixed(3)
}
