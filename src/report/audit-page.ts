import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { encodePng, type Raster } from './png.js'
import { openScroll } from './scroll.js'
import { STYLE } from './style.js'

/** One plane of two scans: one byte a pixel, rows from the top. */
export interface SidePanel {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly a: Uint8Array
  readonly b: Uint8Array
}

export interface AuditPagePair {
  readonly kind: string
  readonly cases: readonly [string, string]
  readonly sides: readonly [string, string]
  readonly leak: boolean
  readonly message: string
  /** Null where there is no picture. */
  readonly panels: readonly SidePanel[] | null
}

export interface AuditPage {
  readonly numCases: number
  readonly pairs: readonly AuditPagePair[]
  /** Limits of the audit, one sentence each. */
  readonly notes: readonly string[]
  /** Time of writing, as displayed. */
  readonly made: string
}

const GAP = 8

/** Render the page of an audit as HTML without external resources. */
export function renderAudit({ numCases, pairs, notes, made }: AuditPage): string {
  const leaks = pairs.filter(({ leak }) => leak).length
  const outcome =
    leaks > 0
      ? `<strong class="failed">${counted(leaks, 'leak')}</strong>: training cases are not independent of held-out cases`
      : '<strong class="completed">no leak</strong>: no training case was found to depend on a held-out case'
  const pictured = pairs.filter(({ panels }) => panels !== null)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of ${counted(numCases, 'case')}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>Audit of ${counted(numCases, 'case')}</h1><p class="quiet">written ${escapeHtml(made)} by freetumor</p></header>
<main>
<section><h2>Findings</h2>
<p class="outcome">${outcome}</p>
${notes.length > 0 ? `<ul class="warnings">${notes.map((note) => `<li class="warning">${escapeHtml(note)}</li>`).join('')}</ul>` : ''}
${table(pairs)}</section>
${pictured.length > 0 ? `<section><h2>Pairs <span class="quiet">left: first scan; right: second scan, aligned to the first</span></h2><div class="pictures">${pictured.map(figure).join('\n')}</div></section>` : ''}
</main>
</body>
</html>
`
}

/** Return a PNG with one row per plane and the two scans side by side. */
export function sideBySidePng(panels: readonly SidePanel[]): Buffer {
  const width = 2 * Math.max(...panels.map((panel) => panel.width)) + GAP
  const height = panels.reduce((sum, panel) => sum + panel.height, GAP * (panels.length - 1))
  const raster: Raster = { width, height, rgb: new Uint8Array(3 * width * height) }
  let top = 0
  for (const panel of panels) {
    draw(raster, panel, panel.a, 0, top)
    draw(raster, panel, panel.b, (width + GAP) / 2, top)
    top += panel.height + GAP
  }
  return encodePng(raster)
}

function draw(
  raster: Raster,
  { width, height }: SidePanel,
  gray: Uint8Array,
  left: number,
  top: number,
): void {
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      raster.rgb.fill(
        gray[y * width + x]!,
        3 * ((top + y) * raster.width + Math.floor(left) + x),
        3 * ((top + y) * raster.width + Math.floor(left) + x + 1),
      )
}

function table(pairs: readonly AuditPagePair[]): string {
  if (pairs.length === 0) return '<p class="missing">No two cases depend on each other.</p>'
  const rows = pairs.map(({ kind, cases, sides, leak, message }) => {
    const cells = [cases[0], sides[0], cases[1], sides[1], message].map(
      (text) => `<td class="word wide">${escapeHtml(text)}</td>`,
    )
    return `<tr><th scope="row">${kind}</th><td class="word ${leak ? 'failed' : ''}">${leak ? 'leak' : ''}</td>${cells.join('')}</tr>`
  })
  return `${openScroll('Cases that are not independent')}<table><caption>Cases that are not independent</caption>
<thead><tr><th scope="col">kind</th><th scope="col" class="word">leak</th><th scope="col" class="word">case</th><th scope="col" class="word">side</th><th scope="col" class="word">case</th><th scope="col" class="word">side</th><th scope="col" class="word">reason</th></tr></thead>
<tbody>${rows.join('\n')}</tbody></table></div>`
}

function figure({ kind, cases, sides, leak, message, panels }: AuditPagePair): string {
  const told = `${kind}${leak ? ', leak' : ''}: ${message}`
  const what = `${cases[0]} (${sides[0]}) and ${cases[1]} (${sides[1]})`
  const alt = `${panels!.map(({ name }) => name).join(', ')} slices of ${what}`
  const source = `data:image/png;base64,${sideBySidePng(panels!).toString('base64')}`
  return `<figure><img loading="lazy" alt="${escapeHtml(alt)}" src="${source}"><figcaption>${escapeHtml(what)} <span class="quiet">${escapeHtml(told)}</span></figcaption></figure>`
}
