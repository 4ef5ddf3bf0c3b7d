import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'
import { percent } from './wording.js'

/** Times of the stages of the steps of a training, on rank 0; `profile.json` of a run. */
export interface StepProfile {
  readonly steps: number
  readonly seconds: number
  readonly processorSeconds: number
  readonly device: string
  readonly stages: readonly StageTimes[]
}

export interface StageTimes {
  readonly name: string
  readonly calls: number
  readonly seconds: number
  readonly processorSeconds: number
  /** Null without a GPU. */
  readonly deviceSeconds: number | null
}

/** Stages between two steps; `OUTSIDE` of freetumor_runtime/training/step_profile.py lists the same. */
const BETWEEN_STEPS: readonly string[] = ['save', 'validation']

/** Return the section of a profile: a table of the time of each stage, with a bar of its wall time; empty without one. */
export function profileSection(profile: StepProfile | null | undefined): string {
  if (!profile) return ''
  const { stages, device } = profile
  const steps = Math.max(1, profile.steps)
  const hasGpu = stages.some(({ deviceSeconds }) => deviceSeconds !== null)
  const longest = stages.reduce((most, { seconds }) => Math.max(most, seconds), 0)
  const milliseconds = (seconds: number | null): string =>
    seconds === null ? '–' : ((1000 * seconds) / steps).toFixed(1)
  const rows = stages.map((stage) => {
    const between = BETWEEN_STEPS.includes(stage.name)
    const share = between ? 'between steps' : percent(stage.seconds / (profile.seconds || 1))
    const gpu = hasGpu ? `<td>${milliseconds(stage.deviceSeconds)}</td>` : ''
    return `<tr><th scope="row">${escapeHtml(stage.name)}</th><td class="plot">${bar(stage.seconds, longest)}</td><td>${milliseconds(stage.seconds)}</td><td>${share}</td><td>${milliseconds(stage.processorSeconds)}</td>${gpu}<td>${stage.calls.toLocaleString('en-US')}</td></tr>`
  })
  const columns = ['wall, ms per step', 'share of a step', 'processor, ms per step']
  if (hasGpu) columns.push('GPU, ms per step')
  columns.push('calls')
  const head = columns.map((name) => `<th scope="col">${name}</th>`).join('')
  const total = `<tr><th scope="row">step</th><td></td><td>${milliseconds(profile.seconds)}</td><td>${percent(1)}</td><td>${milliseconds(profile.processorSeconds)}</td>${hasGpu ? '<td></td>' : ''}<td>${profile.steps.toLocaleString('en-US')}</td></tr>`
  return `<h3>Time by stage</h3>
${openScroll('Time by stage')}<table><caption>Stages of ${counted(profile.steps, 'step')} on rank 0 <span class="quiet">on ${escapeHtml(device)}; a stage within another one counts for itself alone; bars show wall time</span></caption>
<thead><tr><th scope="col">stage</th><th scope="col"></th>${head}</tr></thead>
<tbody>${rows.join('\n')}</tbody><tfoot>${total}</tfoot></table></div>`
}

function bar(seconds: number, longest: number): string {
  const width = longest > 0 ? (100 * seconds) / longest : 0
  return `<svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true"><path class="grid" d="M0 0V14"/><rect class="stage" x="0" y="3" width="${width.toFixed(1)}" height="8"/></svg>`
}
