import { counted } from '../plain-text.js'
import type { UsedCalibration } from '../quality/calibration.js'
import type { JobKind, RunEvent, StartedEvent } from '../training/events.js'
import { calibrationSection } from './calibration-section.js'
import { lossChart, shareChart, stepsWithoutLoss, validationChart } from './curves.js'
import { escapeHtml } from './escape-html.js'
import { profileSection, type StepProfile } from './profile-section.js'
import { type ReviewTable, reviewSection } from './review-section.js'
import { openScroll } from './scroll.js'
import { type TumorPictures, tumorSection } from './tumor-section.js'
import { keptName, type TumorTally } from './tumor-tally.js'
import { duration, inWords, isFigure, short } from './wording.js'

export interface RunReport {
  readonly name: string
  readonly events: readonly RunEvent[]
  /** The resolved configuration as YAML; null if the run has none. */
  readonly configText: string | null
  /** Name of every label that the segmentor learns, by id; empty when unknown. */
  readonly labelNames: readonly string[]
  /** Counts from the ledger; null without a ledger. */
  readonly tumors: TumorTally | null
  readonly pictures: TumorPictures
  /** Files that could not be read, one sentence each. */
  readonly problems: readonly string[]
  /** Use of review decisions; null without them. */
  readonly reviews?: ReviewTable | null
  /** Calibration of the quality policy; null without one. */
  readonly calibration?: UsedCalibration | null
  /** Times of the stages of its steps; null unless `train --profile` measured them. */
  readonly profile?: StepProfile | null
}

/** Render one run; `id` is the anchor of its section. */
export function runSection(run: RunReport, id: string, heading: string): string {
  const started = run.events.findLast((event) => event.type === 'started')
  const { word, look, detail } = outcomeOf(run.events)
  return `<section id="${id}">
<h2>${escapeHtml(heading)}</h2>
<p class="outcome"><strong class="${look}">${word}</strong> ${escapeHtml(detail)}</p>
${warnings(run)}
${facts(run.events, started)}
${curves(run, started?.job)}
${profileSection(run.profile)}
${started && started.job !== 'baseline' ? `<h3>Synthetic tumors</h3>${tumorSection(run.tumors, run.pictures)}` : ''}
${calibrationSection(run.calibration)}
${reviewSection(run.reviews)}
${timeline(run.events)}
${configuration(run.configText)}
</section>`
}

/** Return the outcome of a run: one word and a sentence. */
export function outcomeOf(events: readonly RunEvent[]): { word: string; look: string; detail: string } {
  const at = events.findLastIndex((event) => event.type === 'finished' || event.type === 'started')
  const last = events[at]
  if (last?.type === 'finished') {
    const reason = last.reason === '' ? '' : `: ${last.reason}`
    return { word: last.outcome, look: last.outcome, detail: `at step ${last.step}${reason}` }
  }
  const step = events.findLast((event) => event.type === 'step')
  if (!last) return { word: 'not started', look: 'failed', detail: 'the runtime never became ready' }
  const done = counted(step ? step.step + 1 : 0, 'step')
  return { word: 'not finished', look: 'stopped', detail: `the events end after ${done} without a reason` }
}

function warnings({ events, problems }: RunReport): string {
  const lost = stepsWithoutLoss(events)
  const told = [
    ...problems,
    ...(lost > 0 ? [`In ${counted(lost, 'step')} a loss was not finite; the curves omit them.`] : []),
    ...events.flatMap((event) => (event.type === 'note' && event.level === 'warning' ? [event.text] : [])),
  ]
  return told.length === 0
    ? ''
    : `<ul class="warnings">${told.map((text) => `<li class="warning">${escapeHtml(text)}</li>`).join('')}</ul>`
}

function facts(events: readonly RunEvent[], started: StartedEvent | undefined): string {
  if (!started) return ''
  const seconds = events.reduce((sum, event) => sum + (event.type === 'step' ? event.seconds : 0), 0)
  const waited = events.reduce((sum, event) => sum + (event.type === 'step' ? event.waitSeconds : 0), 0)
  const rows: [string, string][] = [
    ['job', started.job],
    ['run', started.run],
    ['device', `${started.device}, ${counted(started.worldSize, 'rank')}`],
    ...Object.entries(started.parameters).map(([name, count]): [string, string] => [
      `${inWords(name)} size`,
      `${(count / 1e6).toFixed(2)} M parameters`,
    ]),
    ['time in steps', duration(seconds)],
    ['waiting for data', seconds > 0 ? `${((100 * waited) / seconds).toFixed(1)} %` : '–'],
    ...Object.entries(started.versions).map(([name, version]): [string, string] => [
      name,
      version || 'unknown',
    ]),
  ]
  const cells = rows.map(
    ([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`,
  )
  return `<dl>${cells.join('')}</dl>`
}

function curves(run: RunReport, job: JobKind | undefined): string {
  const { events, tumors } = run
  if (!events.some((event) => event.type === 'step'))
    return '<p class="missing">No step was completed, so there are no curves. Its logs in <code>logs/</code> name the reason.</p>'
  const shown = [
    lossChart(events),
    shareChart(events, `tumors ${keptName(tumors?.mode ?? 'gated')}`),
    validationChart(events),
    labelTable(run),
  ].join('\n')
  const unvalidated = job !== 'synthesis' && !events.some((event) => event.type === 'validation')
  const missing = unvalidated
    ? '<p class="missing">The run was not validated. Set <code>training.validateEverySteps</code>, and hold cases out in <code>data</code>.</p>'
    : ''
  return `<h3>Curves <span class="quiet">legends show the final values</span></h3><div class="columns">${shown}</div>${missing}`
}

/** Return a table of the Dice of every label in the best validation. */
function labelTable({ events, labelNames }: RunReport): string {
  const validations = events.filter((event) => event.type === 'validation')
  const best = validations.findLast((event) => event.best) ?? validations.at(-1)
  if (!best) return ''
  const rows = Object.entries(best.diceByLabel).map(([id, dice]) => {
    const name = labelNames[Number(id)] ?? `label ${id}`
    return `<tr><th scope="row">${escapeHtml(name)}</th><td>${isFigure(dice) ? dice.toFixed(3) : '–'}</td></tr>`
  })
  const tumor = isFigure(best.tumorDice) ? best.tumorDice.toFixed(3) : 'no case has a tumor'
  const among = validations.length > 1 ? `, the best of ${validations.length},` : ''
  return `${openScroll('Dice by label')}<table><caption>Validation at step ${best.step}${among} <span class="quiet">on ${counted(best.numCases, 'case')}</span></caption>
<thead><tr><th scope="col">label</th><th scope="col">mean Dice</th></tr></thead>
<tbody>${rows.join('\n')}</tbody><tfoot><tr><th scope="row">tumor</th><td>${tumor}</td></tr></tfoot></table></div>`
}

/** Return a table of all events except steps and tumors, in order. */
function timeline(events: readonly RunEvent[]): string {
  const rows = events.flatMap((event) => {
    const told = tell(event)
    if (told === null) return []
    const [step, text] = told
    const at = `<time datetime="${escapeHtml(event.time)}">${escapeHtml(event.time.slice(0, 19).replace('T', ' '))}</time>`
    return [
      `<tr><td class="word">${at}</td><td>${step ?? ''}</td><td class="word wide">${escapeHtml(text)}</td></tr>`,
    ]
  })
  if (rows.length === 0)
    return '<p class="missing">The run has no events. Its logs in <code>logs/</code> name the reason.</p>'
  return `<details><summary>Events (${rows.length})</summary>${openScroll('Events')}<table><caption>Events except steps; times in UTC</caption>
<thead><tr><th scope="col">time</th><th scope="col">step</th><th scope="col" class="word">event</th></tr></thead><tbody>${rows.join('\n')}</tbody></table></div></details>`
}

function tell(event: RunEvent): [step: number | null, text: string] | null {
  switch (event.type) {
    case 'step':
    case 'synthesis':
      return null
    case 'note':
      return [null, event.text]
    case 'started':
      return [
        event.step,
        event.step > 0 ? `resumed at step ${event.step}` : `started, ${counted(event.steps, 'step')} planned`,
      ]
    case 'command':
      return [
        event.step,
        `command: ${inWords(event.command)}${event.value === undefined ? '' : ` ${event.value}`}`,
      ]
    case 'validation': {
      const dice = isFigure(event.tumorDice) ? `tumor Dice ${short(event.tumorDice)}` : 'no case has a tumor'
      return [event.step, `validation: ${dice}${event.best ? ', the best so far' : ''}`]
    }
    case 'checkpoint':
      return [event.step, `checkpoint (${event.reason}): ${event.directory}`]
    case 'restart':
      return [event.step, `restart ${event.restart} after a failure at step ${event.diedAt}: ${event.reason}`]
    case 'finished':
      return [event.step, `${event.outcome}${event.reason === '' ? '' : `: ${event.reason}`}`]
  }
}

function configuration(text: string | null): string {
  if (text === null) return '<p class="missing">The run has no configuration.</p>'
  return `<details><summary>Configuration</summary><pre><code>${escapeHtml(text)}</code></pre></details>`
}
