import { escape } from './escape.js'

export interface Series {
  readonly name: string
  /** In rising x. */
  readonly points: readonly (readonly [number, number])[]
}

export interface ChartOptions {
  readonly title: string
  readonly x: string
  readonly y: string
  /** Fixed range of y; default that of the points, from 0. */
  readonly range?: readonly [number, number]
  /** Points are averaged over this many neighbours. */
  readonly smooth?: number
}

const [WIDTH, HEIGHT] = [640, 260]
const BOX = { left: 52, right: 12, top: 12, bottom: 40 }
const MAX_POINTS = 400

/** A line chart as inline SVG; null when there is nothing to draw. */
export function lineChart(series: readonly Series[], options: ChartOptions): string | null {
  const drawn = series
    .map(({ name, points }) => ({ name, points: thinned(smoothed(points, options.smooth ?? 1)) }))
    .filter(({ points }) => points.length > 0)
  if (drawn.length === 0) return null
  const xs = drawn.flatMap(({ points }) => points.map(([x]) => x))
  const ys = drawn.flatMap(({ points }) => points.map(([, y]) => y))
  const [x0, x1] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)]
  const [y0, y1] = options.range ?? [Math.min(0, ...ys), Math.max(...ys) * 1.05 || 1]
  const place = ([x, y]: readonly [number, number]): string =>
    `${(BOX.left + ((x - x0) / (x1 - x0)) * (WIDTH - BOX.left - BOX.right)).toFixed(1)},${(HEIGHT - BOX.bottom - ((y - y0) / (y1 - y0)) * (HEIGHT - BOX.top - BOX.bottom)).toFixed(1)}`
  const grid = ticks(y0, y1).map((value) => {
    const [, y] = place([x0, value]).split(',')
    return `<line class="grid" x1="${BOX.left}" x2="${WIDTH - BOX.right}" y1="${y}" y2="${y}"/><text class="tick" x="${BOX.left - 6}" y="${y}" dy="0.32em" text-anchor="end">${short(value)}</text>`
  })
  const below = ticks(x0, x1).map((value) => {
    const [x] = place([value, y0]).split(',')
    return `<text class="tick" x="${x}" y="${HEIGHT - BOX.bottom + 16}" text-anchor="middle">${short(value)}</text>`
  })
  const lines = drawn.map(({ points }, at) =>
    points.length === 1
      ? `<circle class="line${at % 4}" r="3" cx="${place(points[0]!).split(',')[0]}" cy="${place(points[0]!).split(',')[1]}"/>`
      : `<polyline class="line${at % 4}" points="${points.map(place).join(' ')}"/>`,
  )
  const legend = drawn
    .map(({ name }, at) => `<span class="key key${at % 4}">${escape(name)}</span>`)
    .join(' ')
  return `<figure><figcaption><b>${escape(options.title)}</b> ${legend}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(options.title)}">${grid.join('')}${below.join('')}
<text class="tick" x="${(BOX.left + WIDTH - BOX.right) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escape(options.x)}</text>
<text class="tick" transform="translate(12 ${(HEIGHT - BOX.bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(options.y)}</text>
${lines.join('')}</svg></figure>`
}

/** Means of `width` neighbours, so that the eye sees the trend and not the noise of single steps. */
function smoothed(points: Series['points'], width: number): Series['points'] {
  if (width <= 1) return points
  const means: [number, number][] = []
  for (let at = 0; at < points.length; at += width) {
    const part = points.slice(at, at + width)
    means.push([
      part.reduce((sum, [x]) => sum + x, 0) / part.length,
      part.reduce((sum, [, y]) => sum + y, 0) / part.length,
    ])
  }
  return means
}

function thinned(points: Series['points']): Series['points'] {
  return smoothed(
    points.filter(([, y]) => Number.isFinite(y)),
    Math.ceil(points.length / MAX_POINTS),
  )
}

/** Round values inside the range, about five. */
function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough
  const values: number[] = []
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step)
    values.push(value)
  return values
}

function short(value: number): string {
  return Number(value.toPrecision(4)).toString()
}
