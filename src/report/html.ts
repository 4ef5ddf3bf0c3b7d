import type { RunEvent } from '../training/events.js'
import { escapeHtml } from './escape-html.js'
import { type EvaluationTable, evaluationTables } from './evaluation-section.js'
import { type ReviewTable, reviewSection } from './review-section.js'
import { outcomeOf, type RunReport, runSection } from './run-section.js'
import { openScroll } from './scroll.js'
import { STYLE } from './style.js'
import { type TumorPictures, tumorSection } from './tumor-section.js'
import type { TumorTally } from './tumor-tally.js'
import { duration, isFigure, percent } from './wording.js'

export interface ReportInput {
  readonly title: string
  readonly runs: readonly RunReport[]
  readonly evaluations: readonly EvaluationTable[]
  /** The section that compares two sets of masks, as HTML; empty without one. */
  readonly comparison: string
  /** Ledgers without a run, from offline synthesis. */
  readonly ledgers: readonly LedgerReport[]
  /** Origin of the page, as displayed. */
  readonly made: string
}

export interface LedgerReport {
  readonly name: string
  readonly tumors: TumorTally
  readonly pictures: TumorPictures
  /** Files that could not be read, one sentence each. */
  readonly problems: readonly string[]
  readonly reviews?: ReviewTable | null
}

/** Render a report as HTML without external resources: no script, font or picture is loaded. */
export function renderReport({ title, runs, evaluations, comparison, ledgers, made }: ReportInput): string {
  const contents = [
    ...(evaluations.length > 0 ? [['evaluation', 'Evaluation'] as const] : []),
    ...(comparison !== '' ? [['comparison', 'Comparison'] as const] : []),
    ...runs.map(({ name }, at) => [`run-${at}`, name] as const),
  ]
  const links = contents.map(([id, name]) => `<li><a href="#${id}">${escapeHtml(name)}</a></li>`)
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
${links.length > 1 ? `<nav aria-label="Contents"><ul>${links.join('')}</ul></nav>` : ''}</header>
<main>
${overview(runs)}
${evaluationTables(evaluations)}
${comparison}
${runs.length + ledgers.length === 0 ? '<p class="missing">There is no run to report. <code>freetumor train --config FILE --out DIR</code> makes one.</p>' : ''}
${runs.map((run, at) => runSection(run, `run-${at}`, runs.length > 1 ? run.name : 'Training')).join('\n')}
${ledgers.map(ledgerSection).join('\n')}
</main>
</body>
</html>
`
}

function ledgerSection({ name, tumors, pictures, problems, reviews }: LedgerReport): string {
  const said = problems.map((text) => `<p class="warning">${escapeHtml(text)}</p>`).join('')
  return `<section><h2>${escapeHtml(name)}</h2>${said}${tumorSection(tumors, pictures)}${reviewSection(reviews)}</section>`
}

/** Return a table with one line per run; empty for a single run. */
function overview(runs: readonly RunReport[]): string {
  if (runs.length < 2) return ''
  const rows = runs.map((run, at) => {
    const cells = [stepsDone(run.events), time(run.events), bestDice(run.events), seenWellEnough(run.events)]
    const { word, look } = outcomeOf(run.events)
    return `<tr><th scope="row"><a href="#run-${at}">${escapeHtml(run.name)}</a></th><td class="word ${look}">${word}</td>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`
  })
  return `<section><h2>Overview</h2>${openScroll('Runs')}<table><caption>Runs in order of execution</caption>
<thead><tr><th scope="col">run</th><th scope="col" class="word">outcome</th><th scope="col">steps</th><th scope="col">time in steps</th><th scope="col">best tumor Dice in validation</th><th scope="col">synthetic tumors above the threshold</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div></section>`
}

function stepsDone(events: readonly RunEvent[]): string {
  const last = events.findLast((event) => event.type === 'step')
  return last ? (last.step + 1).toLocaleString('en-US') : '0'
}

function time(events: readonly RunEvent[]): string {
  return duration(events.reduce((sum, event) => sum + (event.type === 'step' ? event.seconds : 0), 0))
}

function bestDice(events: readonly RunEvent[]): string {
  const all = events.flatMap((event) =>
    event.type === 'validation' && isFigure(event.tumorDice) ? [event.tumorDice] : [],
  )
  return all.length > 0 ? Math.max(...all).toFixed(3) : '–'
}

/** Return the share of tumors above the threshold; synthesis training reports `kept` although it rejects none. */
function seenWellEnough(events: readonly RunEvent[]): string {
  let [kept, tried] = [0, 0]
  for (const event of events)
    if (event.type === 'synthesis') [kept, tried] = [kept + event.kept, tried + event.tried]
  return tried > 0 ? percent(kept / tried) : '–'
}
