import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { openScroll } from './scroll.js'
import { STYLE } from './style.js'
import { short } from './wording.js'

interface Counts {
  readonly synthetic: number
  readonly real: number
}

interface Measure {
  readonly name: string
  readonly organ: string
  readonly size: string
  readonly unit: string
  readonly value: number | null
  readonly ci: readonly [number, number] | null
  readonly p: number | null
  readonly null: { readonly mean: number; readonly p95: number } | null
  readonly n: Counts
  readonly notMeasured: string | null
}

interface Side {
  readonly mean: number
  readonly sd: number
}

interface Feature {
  readonly organ: string
  readonly name: string
  readonly real: Side
  readonly synthetic: Side
  readonly distance: number
}

interface Nearest {
  readonly case: string
  readonly tumor: number
  readonly organ: string
  readonly size: string
  readonly real: {
    readonly case: string
    readonly tumor: number
    readonly similarity: number
    readonly lead: number
    readonly copy: boolean | null
  } | null
  readonly host: { readonly case: string | null; readonly similarity: number; readonly own: boolean } | null
}

interface Threshold {
  readonly size: string
  readonly threshold: number | null
  readonly leadThreshold: number | null
  readonly reals: number
  readonly ofAllSizes: boolean
  readonly median: number | null
  readonly realsAbove: number
}

interface Exceeded {
  readonly measure: string
  readonly organ: string
  readonly size: string
  readonly max: number
  readonly value: number | null
}

export interface RealismPage {
  /** Names of both data sets, as displayed. */
  readonly made: string
  readonly settings: {
    readonly encoder: { readonly file: string; readonly sha256: string } | null
  }
  readonly measures: readonly Measure[]
  readonly features: readonly Feature[]
  readonly thresholds: readonly Threshold[]
  readonly nearest: readonly Nearest[]
  readonly copies: number | null
  readonly limits: readonly unknown[]
  readonly exceeded: readonly Exceeded[]
  readonly failed: readonly { readonly caseId: string; readonly error: { readonly message: string } }[]
  readonly notes: readonly string[]
}

/** Figures in words, for tables. */
const NAMES: Readonly<Record<string, string>> = {
  frechetTumor: 'radiomic Fréchet distance, tumor',
  frechetRim: 'radiomic Fréchet distance, rim',
  histogramTumor: 'HU histogram, tumor',
  histogramRim: 'HU histogram, rim',
  histogramSurroundings: 'HU histogram, surroundings',
  spectrumDistance: 'power spectrum against the noise of the scan',
  shapeDistance: 'shape',
  positionDistance: 'position in the organ',
  classifierAuc: 'classifier of both sides',
  encoderAuc: 'classifier of both sides, by the encoder',
}
const MAX_FEATURES = 12
const MAX_NEAREST = 50

/** Render the page of a comparison of synthetic and real tumors as HTML without external resources. */
export function renderRealism(page: RealismPage): string {
  const { made, notes, failed } = page
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Realism: ${escapeHtml(made)}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>Realism of synthetic tumors</h1><p class="quiet">${escapeHtml(made)}</p></header>
<main>
<ul class="warnings">${notes.map((note) => `<li class="warning">${escapeHtml(note)}</li>`).join('')}</ul>
${failed.map(({ caseId, error }) => `<p class="failed">${escapeHtml(caseId)}: ${escapeHtml(error.message)}</p>`).join('')}
${limitSection(page)}
${measureSection(page)}
${featureSection(page)}
${copySection(page)}
</main>
</body>
</html>
`
}

function limitSection({ limits, exceeded }: RealismPage): string {
  if (limits.length === 0) return ''
  if (exceeded.length === 0)
    return `<section><h2>Limits</h2><p class="outcome"><strong class="completed">all hold</strong> (${counted(limits.length, 'limit')})</p></section>`
  const lines = exceeded.map(({ measure, organ, size, max, value }) => {
    const found = value === null ? 'not measured' : short(value)
    return `<li class="failed">${escapeHtml(`${measure}, ${organ}, ${size}: expected at most ${max}, found ${found}`)}</li>`
  })
  return `<section><h2>Limits</h2><p class="outcome"><strong class="failed">exceeded</strong></p><ul>${lines.join('')}</ul></section>`
}

function measureSection({ measures, settings: { encoder } }: RealismPage): string {
  const groups = new Map<string, Measure[]>()
  for (const one of measures) {
    const key = `${one.organ}, ${one.size}`
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  const tables = [...groups].map(([, ofGroup], at) => groupTable(ofGroup, at === 0))
  return `<section><h2>Differences of synthetic and real tumors</h2>
<p class="note">A figure is 0 for equal sides in the limit of many tumors; the AUC is 0.5. Small samples differ by chance: compare a figure with its
chance level, the mean after exchanges of patients between the sides. p is the share of exchanges that differ at least as much. The p values
are not adjusted for multiple comparisons.</p>
${encoder === null ? '' : `<p class="note">The encoder is that of ${escapeHtml(encoder.file)} (SHA-256 ${escapeHtml(encoder.sha256.slice(0, 12))}). Its features depend on the tissue around a tumor, too.</p>`}
${tables.join('\n')}</section>`
}

function groupTable(measures: readonly Measure[], open: boolean): string {
  const { organ, size, n, notMeasured } = measures[0]!
  const title = `${organ === 'all' ? 'all organs' : organ}, ${size === 'all' ? 'all sizes' : size}`
  const about = `${n.synthetic} synthetic and ${n.real} real tumors`
  if (measures.every(({ value }) => value === null))
    return `<details><summary>${escapeHtml(title)} <span class="quiet">${escapeHtml(notMeasured ?? '')}</span></summary></details>`
  const rows = measures.map((one) => {
    const name = `<th scope="row">${escapeHtml(NAMES[one.name] ?? one.name)}</th>`
    if (one.value === null)
      return `<tr>${name}<td class="missing" colspan="5">${escapeHtml(one.notMeasured ?? '')}</td></tr>`
    const interval = one.ci === null ? '–' : `${short(one.ci[0])} to ${short(one.ci[1])}`
    const chance =
      one.null === null
        ? '–'
        : `${short(one.null.mean)} <span class="quiet">(95 %: ${short(one.null.p95)})</span>`
    const p = one.p === null ? '–' : one.p.toFixed(3)
    return `<tr>${name}<td><b>${short(one.value)}</b></td><td>${interval}</td><td>${chance}</td><td>${p}</td><td class="word">${escapeHtml(one.unit)}</td></tr>`
  })
  return `<details${open ? ' open' : ''}><summary>${escapeHtml(title)} <span class="quiet">${about}</span></summary>
${openScroll(title)}<table><caption>${escapeHtml(title)} <span class="quiet">${about}</span></caption>
<thead><tr><th scope="col">figure</th><th scope="col">value</th><th scope="col">95 % interval</th><th scope="col">chance level</th><th scope="col">p</th><th scope="col" class="word">unit</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div></details>`
}

function featureSection({ features }: RealismPage): string {
  const ofAll = features.filter(({ organ }) => organ === 'all')
  if (ofAll.length === 0) return ''
  const shown = [...ofAll].sort((a, b) => b.distance - a.distance).slice(0, MAX_FEATURES)
  const side = ({ mean, sd }: Side): string =>
    `${signedShort(mean)} <span class="quiet">± ${short(sd)}</span>`
  const rows = shown.map(
    ({ name, real, synthetic, distance }) =>
      `<tr><th scope="row">${escapeHtml(name)}</th><td>${side(real)}</td><td>${side(synthetic)}</td><td>${short(distance)}</td></tr>`,
  )
  return `<section><h2>Features that differ most <span class="quiet">all organs; ${ofAll.length} features are in realism.json</span></h2>
${openScroll('Features')}<table><caption>Mean and standard deviation; distance in standard deviations of the reals</caption>
<thead><tr><th scope="col">feature</th><th scope="col">real</th><th scope="col">synthetic</th><th scope="col">distance</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div></section>`
}

function figure(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : value.toFixed(3)
}

function signedShort(value: number): string {
  return `${value < 0 ? '−' : ''}${short(Math.abs(value))}`
}

function copySection({ nearest, thresholds, copies }: RealismPage): string {
  const outcome =
    copies === null
      ? '<strong class="stopped">not judged</strong>: too few real tumors for a threshold'
      : copies > 0
        ? `<strong class="failed">${counted(copies, 'likely copy', ['likely copy', 'likely copies'])}</strong> of a real tumor`
        : `<strong class="completed">no likely copy</strong> of a real tumor among ${counted(nearest.length, 'synthetic tumor')}`
  const hosts = nearest.filter(({ host }) => host !== null)
  const own = hosts.filter(({ host }) => host!.own).length
  const linked =
    hosts.length === 0
      ? 'The host scans were not found, so the surroundings were not compared with them.'
      : `The tissue around ${own} of ${counted(hosts.length, 'synthetic tumor')} is most similar to its own host scan: the surroundings identify the patient.`
  const limits = thresholds.map(
    ({ size, threshold, leadThreshold, reals, ofAllSizes, median, realsAbove }) =>
      `<tr><th scope="row">${escapeHtml(size)}</th><td>${figure(threshold)}</td><td>${figure(leadThreshold)}</td><td>${figure(median)}</td><td>${reals}${ofAllSizes ? ' <span class="quiet">of all sizes</span>' : ''}</td><td>${realsAbove}</td></tr>`,
  )
  const sorted = [...nearest].sort((a, b) => (b.real?.similarity ?? -1) - (a.real?.similarity ?? -1))
  const shown = sorted.slice(0, MAX_NEAREST)
  const rows = shown.map(({ case: id, tumor, organ, size, real, host }) => {
    const copy = real?.copy === true ? '<span class="failed">likely copy</span>' : ''
    const cells = [
      `<td class="word">${escapeHtml(organ)}, ${escapeHtml(size)}</td>`,
      `<td class="word wide">${real === null ? '–' : escapeHtml(`${real.case}, tumor ${real.tumor}`)}</td>`,
      `<td>${figure(real?.similarity)}</td><td>${figure(real?.lead)}</td><td class="word">${copy}</td>`,
      `<td class="word wide">${host === null ? '–' : escapeHtml(host.case ?? '')}</td>`,
      `<td>${figure(host?.similarity)}</td>`,
    ]
    return `<tr><th scope="row">${escapeHtml(`${id}, tumor ${tumor}`)}</th>${cells.join('')}</tr>`
  })
  const more =
    nearest.length > shown.length
      ? ` <span class="quiet">the other ${nearest.length - shown.length} are in nearest.csv</span>`
      : ''
  return `<section><h2>Copies and privacy</h2>
<p class="outcome">${outcome}</p>
<p class="note">Similarity is the correlation of texture and shape, after the best shift, flip and scale; lead is its distance to the second nearest
real tumor. Both thresholds come from real tumors of different patients. A tumor below both may still resemble a real one.</p>
<p>${linked}</p>
${openScroll('Thresholds')}<table><caption>Thresholds</caption>
<thead><tr><th scope="col">size</th><th scope="col">similarity</th><th scope="col">lead</th><th scope="col">similarity of real tumors, median</th><th scope="col">real tumors</th><th scope="col">of them above</th></tr></thead>
<tbody>${limits.join('\n')}</tbody></table></div>
${openScroll('Nearest tumors')}<table><caption>Nearest real tumor and host, most similar first${more}</caption>
<thead><tr><th scope="col">synthetic tumor</th><th scope="col" class="word">kind</th><th scope="col" class="word">nearest real tumor</th><th scope="col">similarity</th><th scope="col">lead</th><th scope="col" class="word"></th><th scope="col" class="word">nearest host</th><th scope="col">similarity</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div></section>`
}
