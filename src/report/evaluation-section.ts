import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'
import { percent } from './wording.js'

/** A figure from 0 to 1 with its interval; null if no case counts. */
export interface EvaluationRow {
  readonly name: string
  readonly mean: number | null
  readonly low: number | null
  readonly high: number | null
  /** Number of cases that count. */
  readonly n: number
}

export interface EvaluationTable {
  readonly title: string
  /** Grid of the figures: `original`, `prepared` or `resampled`. */
  readonly grid: string
  /** Confidence level of the intervals, 0 to 1. */
  readonly level: number
  readonly rows: readonly EvaluationRow[]
  /** Limits of the figures, such as failed cases. */
  readonly warnings: readonly string[]
}

/** Return one table for each evaluation; empty without evaluations. */
export function evaluationTables(tables: readonly EvaluationTable[]): string {
  if (tables.length === 0) return ''
  return `<section id="evaluation"><h2>Evaluation</h2>
<div class="columns evaluation">${tables.map(evaluationTable).join('\n')}</div></section>`
}

/** Return one evaluation as a table with interval plots. */
export function evaluationTable({ title, grid, level, rows, warnings }: EvaluationTable): string {
  const told = warnings.map((warning) => `<p class="warning">${escapeHtml(warning)}</p>`).join('')
  const caption = `<caption>${escapeHtml(title)} <span class="quiet">on the ${escapeHtml(grid)} grid</span></caption>`
  if (rows.length === 0)
    return `<div><table>${caption}</table>${told}<p class="missing">Nothing was measured.</p></div>`
  return `${openScroll(title)}<table>${caption}
<thead><tr><th scope="col">figure</th><th scope="col">mean</th><th scope="col">${percent(level)} interval</th><th scope="col">cases</th><td class="plot scale"><span>0</span><span>1</span></td></tr></thead>
<tbody>${rows.map(evaluationRow).join('\n')}</tbody></table>${told}</div>`
}

function evaluationRow({ name, mean, low, high, n }: EvaluationRow): string {
  const head = `<th scope="row">${escapeHtml(name)}</th>`
  if (mean === null) return `<tr>${head}<td colspan="4" class="missing">no case counts</td></tr>`
  const interval = low === null || high === null ? '–' : `${low.toFixed(3)} – ${high.toFixed(3)}`
  return `<tr>${head}<td><b>${mean.toFixed(3)}</b></td><td>${interval}</td><td>${n}</td><td class="plot">${whisker(mean, low ?? mean, high ?? mean)}</td></tr>`
}

/** Draw mean and interval on a line from 0 to 1; the table columns hold the numbers. */
function whisker(mean: number, low: number, high: number): string {
  const at = (value: number): string => (4 + 92 * Math.min(1, Math.max(0, value))).toFixed(1)
  return `<svg viewBox="0 0 100 14" aria-hidden="true"><path class="grid" d="M4 7H96"/><path class="line look0" d="M${at(low)} 7H${at(high)}"/><circle class="look0" cx="${at(mean)}" cy="7" r="3.5"/></svg>`
}
