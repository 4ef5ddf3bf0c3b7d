import { counted } from '../plain-text.js'
import { escapeHtml } from './escape-html.js'
import { short } from './wording.js'

export type Point = readonly [x: number, y: number]

export interface Series {
  readonly name: string
  /** Sorted by x. */
  readonly points: readonly Point[]
}

export interface ChartOptions {
  readonly title: string
  readonly x: string
  readonly y: string
  /** Range of y. Default: the range of the points, including 0. */
  readonly range?: readonly [number, number]
  /** Draw each point as a dot; for few points. */
  readonly dots?: boolean
  /** Shade the range from the smallest to the largest value of each bin. Default: true. */
  readonly spread?: boolean
  /** Maximum number of bins of a long curve. Default: 48. */
  readonly means?: number
}

/** Neighbouring points, summarised by mean, minimum and maximum. */
interface Bin {
  readonly x: number
  readonly mean: number
  readonly low: number
  readonly high: number
}

type Place = (x: number, y: number) => readonly [string, string]

const [WIDTH, HEIGHT] = [520, 260]
const PLOT = { left: 50, right: WIDTH - 14, top: 12, bottom: HEIGHT - 44 }
const MAX_MEANS = 48
/** Number of colours and dash patterns in the style sheet. */
const LOOKS = 4

/** Return a line chart as inline SVG with title and legend; empty without points. Long curves are binned. */
export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const drawn = series.filter(({ points }) => points.length > 0)
  if (drawn.length === 0) return ''
  const longest = Math.max(...drawn.map(({ points }) => points.length))
  const perBin = Math.ceil(longest / (options.means ?? MAX_MEANS))
  const curves = drawn.map(({ name, points }) => ({
    name,
    bins: inBins(points, perBin, options.spread ?? true),
  }))
  const all = curves.flatMap(({ bins }) => bins)
  const [x0, x1] = rangeOfX(all)
  const [y0, y1] = options.range ?? rangeOfY(all)
  const place: Place = (x, y) => [
    (PLOT.left + ((x - x0) / (x1 - x0)) * (PLOT.right - PLOT.left)).toFixed(1),
    (PLOT.bottom - ((y - y0) / (y1 - y0)) * (PLOT.bottom - PLOT.top)).toFixed(1),
  ]
  const shaded = options.spread === false ? '' : ', shaded: minimum to maximum'
  const means =
    perBin > 1 ? ` <span class="quiet">means of about ${counted(perBin, 'step')}${shaded}</span>` : ''
  return `<figure class="chart"><figcaption><h4>${escapeHtml(options.title)}</h4>${means}
<ul class="legend">${curves.map(legendEntry).join('')}</ul></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(inOneSentence(curves, options))}">
${grid(place, [x0, x1], [y0, y1])}${axisTitles(options)}
${curves.map(({ bins }, at) => curve(bins, at, place, options.dots ?? false)).join('\n')}</svg></figure>`
}

function inBins(points: readonly Point[], perBin: number, spread: boolean): Bin[] {
  const bins: Bin[] = []
  // bin sizes differ by at most one point, so the last bin is not noisier than the others
  const count = Math.ceil(points.length / perBin)
  const edge = (bin: number): number => Math.round((bin * points.length) / count)
  for (let bin = 0; bin < count; bin++) {
    const part = points.slice(edge(bin), edge(bin + 1))
    const ys = part.map(([, y]) => y)
    const mean = ys.reduce((sum, y) => sum + y, 0) / ys.length
    bins.push({
      x: part.reduce((sum, [x]) => sum + x, 0) / part.length,
      mean,
      low: spread ? Math.min(...ys) : mean,
      high: spread ? Math.max(...ys) : mean,
    })
  }
  return bins
}

function rangeOfX(bins: readonly Bin[]): [number, number] {
  const xs = bins.map(({ x }) => x)
  const [first, last] = [Math.min(...xs), Math.max(...xs)]
  // centre a single step
  return first === last ? [first - 1, last + 1] : [first, last]
}

function rangeOfY(bins: readonly Bin[]): [number, number] {
  const low = Math.min(0, ...bins.map((bin) => bin.low))
  const high = Math.max(0, ...bins.map((bin) => bin.high))
  const margin = (high - low || 1) * 0.05
  return [low < 0 ? low - margin : 0, high + margin]
}

function legendEntry({ name, bins }: { name: string; bins: readonly Bin[] }, at: number): string {
  const look = at % LOOKS
  return `<li><svg class="swatch" viewBox="0 0 26 8" aria-hidden="true"><path class="line look${look}" d="M1 4H25"/></svg>${escapeHtml(name)} <b>${short(bins.at(-1)!.mean)}</b></li>`
}

function inOneSentence(
  curves: readonly { name: string; bins: readonly Bin[] }[],
  { title, x }: ChartOptions,
): string {
  const told = curves.map(({ name, bins }) => {
    const [first, last] = [bins[0]!, bins.at(-1)!]
    return `${name} from ${short(first.mean)} to ${short(last.mean)}`
  })
  return `${title}, by ${x}: ${told.join('; ')}.`
}

function grid(
  place: Place,
  [x0, x1]: readonly [number, number],
  [y0, y1]: readonly [number, number],
): string {
  const across = ticks(y0, y1, 5).map((value) => {
    const [, y] = place(x0, value)
    return `<path class="grid" d="M${PLOT.left} ${y}H${PLOT.right}"/><text x="${PLOT.left - 7}" y="${y}" dy=".32em" text-anchor="end">${tick(value)}</text>`
  })
  const below = ticks(x0, x1, Math.min(6, x1 - x0)).map((value) => {
    const [x] = place(value, y0)
    return `<path class="grid" d="M${x} ${PLOT.bottom}v4"/><text x="${x}" y="${PLOT.bottom + 18}" text-anchor="middle">${tick(value)}</text>`
  })
  return [...across, ...below].join('')
}

function axisTitles({ x, y }: ChartOptions): string {
  const [middle, centre] = [(PLOT.left + PLOT.right) / 2, (PLOT.top + PLOT.bottom) / 2]
  return `<text class="axis" x="${middle}" y="${HEIGHT - 6}" text-anchor="middle">${escapeHtml(x)}</text><text class="axis" transform="translate(12 ${centre}) rotate(-90)" text-anchor="middle">${escapeHtml(y)}</text>`
}

function curve(bins: readonly Bin[], at: number, place: Place, dots: boolean): string {
  const path = (points: readonly Point[]): string =>
    points.map(([x, y], n) => `${n === 0 ? 'M' : 'L'}${place(x, y).join(' ')}`).join('')
  const up = bins.map(({ x, high }): Point => [x, high])
  const down = bins.map(({ x, low }): Point => [x, low]).reverse()
  const look = `look${at % LOOKS}`
  const spread = bins.some(({ low, high }) => high > low)
    ? `<path class="spread ${look}" d="${path([...up, ...down])}Z"/>`
    : ''
  const line = `<path class="line ${look}" d="${path(bins.map(({ x, mean }): Point => [x, mean]))}"/>`
  if (!dots && bins.length > 1) return spread + line
  const marks = bins.map(({ x, mean }) => {
    const [cx, cy] = place(x, mean)
    return `<circle class="${look}" cx="${cx}" cy="${cy}" r="3.5"/>`
  })
  return spread + line + marks.join('')
}

/** Return round values inside the range, about `about` of them. */
function ticks(low: number, high: number, about: number): number[] {
  const rough = (high - low) / about
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.99)!
  const first = Math.ceil(low / step - 1e-9)
  const last = Math.floor(high / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step)
}

function tick(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumSignificantDigits: 4 })
}
