import type { RunEvent, StartedEvent } from '../training/events.js'
import { lineChart, type Series } from './chart.js'
import { escapeHtml } from './escape-html.js'
import { type TumorSlice, tumorPanels } from './pictures.js'
import { encodePng } from './png.js'
import { STYLE } from './style.js'

export interface RunReport {
  readonly name: string
  readonly events: readonly RunEvent[]
  /** The resolved configuration as YAML. */
  readonly configText: string
  readonly pictures: readonly TumorSlice[]
}

export interface EvaluationRow {
  readonly name: string
  readonly mean: number
  readonly low: number
  readonly high: number
  readonly n: number
}

export interface ReportInput {
  readonly title: string
  readonly runs: readonly RunReport[]
  readonly evaluations: readonly {
    readonly title: string
    readonly grid: string
    readonly rows: readonly EvaluationRow[]
  }[]
  /** When it was made, ISO 8601. */
  readonly made: string
}

/** One self-contained page: nothing is loaded from anywhere. */
export function renderReport(input: ReportInput): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(input.title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escapeHtml(input.title)}</h1><p class="quiet">made ${escapeHtml(input.made)} by freetumor</p>
${evaluationSection(input.evaluations)}
${input.runs.map(runSection).join('\n')}
</main></body></html>
`
}

function evaluationSection(evaluations: ReportInput['evaluations']): string {
  if (evaluations.length === 0) return ''
  const tables = evaluations.map(
    ({
      title,
      grid,
      rows,
    }) => `<table><caption>${escapeHtml(title)} <span class="quiet">on the ${escapeHtml(grid)} grid</span></caption>
<thead><tr><th>figure</th><th>mean</th><th>95 % interval</th><th>cases</th></tr></thead><tbody>
${rows.map((row) => `<tr><td>${escapeHtml(row.name)}</td><td>${row.mean.toFixed(3)}</td><td>${row.low.toFixed(3)} to ${row.high.toFixed(3)}</td><td>${row.n}</td></tr>`).join('\n')}
</tbody></table>`,
  )
  return `<section><h2>Evaluation</h2>${tables.join('\n')}</section>`
}

function runSection(run: RunReport): string {
  const started = run.events.find((event) => event.type === 'started')
  const charts = [lossChart(run.events), shareChart(run.events), diceChart(run.events)].filter(
    (chart) => chart !== null,
  )
  return `<section><h2>${escapeHtml(run.name)}</h2>
${outcome(run.events)}
${facts(run.events, started)}
${charts.length > 0 ? `<div class="charts">${charts.join('\n')}</div>` : '<p>No step was made, so there is no curve.</p>'}
${pictures(run)}
${notes(run.events)}
<details><summary>Configuration</summary><pre>${escapeHtml(run.configText)}</pre></details></section>`
}

function outcome(events: readonly RunEvent[]): string {
  const finished = events.findLast((event) => event.type === 'finished')
  if (!finished) return '<p class="badge failed">not finished</p>'
  const reason = finished.reason ? `: ${escapeHtml(finished.reason)}` : ''
  return `<p class="badge ${finished.outcome}">${finished.outcome} at step ${finished.step}${reason}</p>`
}

function facts(events: readonly RunEvent[], started: StartedEvent | undefined): string {
  if (!started) return '<p>The runtime never began.</p>'
  const seconds = events.reduce((sum, event) => sum + (event.type === 'step' ? event.seconds : 0), 0)
  const waited = events.reduce((sum, event) => sum + (event.type === 'step' ? event.waitSeconds : 0), 0)
  const rows: [string, string][] = [
    ['run', started.run],
    ['ranks', `${started.worldSize} on ${started.device}`],
    ...Object.entries(started.versions).map(([name, version]): [string, string] => [name, version]),
    ...Object.entries(started.parameters).map(([name, count]): [string, string] => [
      name,
      `${(count / 1e6).toFixed(2)} M parameters`,
    ]),
    [
      'time in steps',
      `${seconds.toFixed(0)} s, ${((100 * waited) / Math.max(seconds, 1e-9)).toFixed(1)} % of it waiting for data`,
    ],
    ...synthesisFacts(events),
  ]
  return `<dl>${rows.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`).join('')}</dl>`
}

function synthesisFacts(events: readonly RunEvent[]): [string, string][] {
  let [kept, tried, noRoom] = [0, 0, 0]
  for (const event of events)
    if (event.type === 'synthesis')
      [kept, tried, noRoom] = [kept + event.kept, tried + event.tried, noRoom + event.noRoom]
  if (tried === 0) return []
  return [
    [
      'synthetic tumors',
      `${tried} painted, ${kept} (${((100 * kept) / tried).toFixed(0)} %) above the threshold`,
    ],
    ['no room', `${noRoom} crops`],
  ]
}

function lossChart(events: readonly RunEvent[]): string | null {
  const byName = new Map<string, [number, number][]>()
  for (const event of events)
    if (event.type === 'step')
      for (const [name, value] of Object.entries(event.losses)) {
        const points = byName.get(name) ?? []
        points.push([event.step, value])
        byName.set(name, points)
      }
  const longest = Math.max(0, ...[...byName.values()].map((points) => points.length))
  const series = [...byName].map(([name, points]): Series => ({ name, points }))
  return lineChart(series, { title: 'Losses', x: 'step', y: 'loss', smooth: Math.ceil(longest / 100) })
}

function shareChart(events: readonly RunEvent[]): string | null {
  const seen: [number, number][] = []
  const kept: [number, number][] = []
  for (const event of events) {
    if (event.type !== 'synthesis' || event.shareSeen === null) continue
    seen.push([event.step, event.shareSeen])
    kept.push([event.step, event.kept / Math.max(1, event.tried)])
  }
  const series = [
    { name: 'share of synthetic voxels the baseline sees', points: seen },
    { name: 'share of tumors kept', points: kept },
  ]
  return lineChart(series, {
    title: 'Synthetic tumors',
    x: 'step',
    y: 'share',
    range: [0, 1],
    smooth: Math.ceil(seen.length / 30),
  })
}

function diceChart(events: readonly RunEvent[]): string | null {
  const points = events.flatMap((event): [number, number][] =>
    event.type === 'validation' && event.tumorDice !== null ? [[event.step, event.tumorDice]] : [],
  )
  return lineChart([{ name: 'tumor Dice', points }], {
    title: 'Validation',
    x: 'step',
    y: 'Dice',
    range: [0, 1],
  })
}

function pictures(run: RunReport): string {
  if (run.pictures.length === 0) return ''
  const figures = run.pictures.map((picture) => {
    const png = encodePng(tumorPanels(picture)).toString('base64')
    const told = `${picture.size} tumor in the ${picture.organ}, step ${picture.step}, ${(100 * picture.shareSeen).toFixed(0)} % seen by the baseline`
    return `<figure class="picture"><img alt="${escapeHtml(`Slice of the host, with the synthetic tumor, and with its outline: ${told}`)}" src="data:image/png;base64,${png}"><figcaption>${escapeHtml(told)}</figcaption></figure>`
  })
  return `<h3>Examples <span class="quiet">host, synthetic, outline of the tumor</span></h3><div class="pictures">${figures.join('\n')}</div>`
}

function notes(events: readonly RunEvent[]): string {
  const told = events.filter((event) => event.type === 'note' || event.type === 'command')
  if (told.length === 0) return ''
  const lines = told.map((event) =>
    event.type === 'note'
      ? `<li class="${event.level}">${escapeHtml(event.text)}</li>`
      : `<li>${escapeHtml(event.command)}${event.value === undefined ? '' : ` ${event.value}`} from step ${event.step}</li>`,
  )
  return `<details><summary>${told.length} notes and commands</summary><ul>${lines.join('')}</ul></details>`
}
