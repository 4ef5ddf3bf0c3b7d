import uPlot from 'uplot'
import { short } from '../../report/wording.js'
import { make, setText } from './dom.js'
import type { NamedValues } from './run-state.js'

export interface Line {
  readonly name: string
  readonly values: NamedValues
  /** Shade the range from minimum to maximum. */
  readonly spread?: boolean
  /** Draw points, for few values. */
  readonly dots?: boolean
}

export interface ChartFacts {
  readonly title: string
  readonly y: string
  /** Range of y. Default: the range of the values, and 0. */
  readonly range?: readonly [number, number]
  /** Multiply the values by this for display. */
  readonly scale?: number
}

const HEIGHT = 240
const COLOURS = 4
const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 4], [9, 4, 2, 4]]

/** A line chart over steps, with title, legend and a description for screen readers. It is empty until `show`. */
export class Chart {
  readonly element: HTMLElement
  readonly #legend = make('ul', { class: 'legend' })
  readonly #box = make('div', { class: 'plot', is: { role: 'img' } })
  readonly #step = make('span', { class: 'quiet' })
  #plot: uPlot | null = null
  #drawn = ''
  #lines: readonly Line[] = []

  constructor(private readonly facts: ChartFacts) {
    this.element = make(
      'figure',
      { class: 'chart' },
      make('figcaption', {}, make('h3', {}, facts.title, ' ', this.#step), this.#legend),
      this.#box,
    )
    new ResizeObserver(() => this.#resize()).observe(this.#box)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#drawn = ''
      this.show(this.#lines)
    })
  }

  /** Draw lines; a chart without lines is hidden. */
  show(lines: readonly Line[]): void {
    this.#lines = lines
    this.element.hidden = lines.length === 0
    if (lines.length === 0) return
    const shape = JSON.stringify(lines.map(({ name, spread, dots }) => [name, spread, dots]))
    if (shape !== this.#drawn) this.#redraw(lines, shape)
    this.#plot?.setData(dataOf(lines, this.facts.scale ?? 1))
    this.#describe(lines)
  }

  destroy(): void {
    this.#plot?.destroy()
    this.#plot = null
  }

  #redraw(lines: readonly Line[], shape: string): void {
    this.#drawn = shape
    this.#plot?.destroy()
    this.#plot = null
    this.#legend.replaceChildren(
      ...lines.map(({ name }, at) => make('li', {}, swatch(at), `${name} `, make('b'))),
    )
    const hooks = { setCursor: [(plot: uPlot) => this.#follow(plot)] }
    const options = { ...optionsOf(lines, this.facts, this.#width()), hooks }
    this.#plot = new uPlot(options, dataOf(lines, this.facts.scale ?? 1), this.#box)
  }

  #describe(lines: readonly Line[]): void {
    const scale = this.facts.scale ?? 1
    const ends = lines.map(({ name, values: { mean } }) => {
      const known = mean.filter((value) => value !== null)
      return { name, first: short(known[0]! * scale), last: short(known.at(-1)! * scale) }
    })
    if (this.#plot?.cursor.idx == null) this.#showValues(ends.map(({ last }) => last))
    const text = ends.map(({ name, first, last }) => `${name} from ${first} to ${last}`).join('; ')
    this.#box.setAttribute('aria-label', `${this.facts.title} by step: ${text}.`)
  }

  /** Show the values at the cursor, or the last ones without a cursor. */
  #follow(plot: uPlot): void {
    const { idx } = plot.cursor
    setText(this.#step, idx == null ? '' : `step ${plot.data[0][idx]!.toLocaleString('en-US')}`)
    if (idx == null) {
      this.#describe(this.#lines)
      return
    }
    const columns = plot.data.slice(1)
    const first = this.#lines.map((_, at) =>
      this.#lines.slice(0, at).reduce((sum, { spread }) => sum + (spread ? 3 : 1), 0),
    )
    this.#showValues(
      first.map((column) => {
        const value = columns[column]![idx]
        return value == null ? '–' : short(value)
      }),
    )
  }

  #showValues(texts: readonly string[]): void {
    for (const [at, text] of texts.entries()) setText(this.#legend.children[at]!.lastElementChild!, text)
  }

  #width(): number {
    return Math.max(200, this.#box.clientWidth)
  }

  #resize(): void {
    this.#plot?.setSize({ width: this.#width(), height: HEIGHT })
  }
}

/** Return the data of uPlot: the steps of all lines, and for each line mean, and minimum and maximum if they are shaded. */
function dataOf(lines: readonly Line[], scale: number): uPlot.AlignedData {
  const scaled = (values: readonly (number | null)[]): (number | null)[] =>
    values.map((value) => (value === null ? null : value * scale))
  const tables = lines.map(
    ({ values: { steps, mean, low, high }, spread }): uPlot.AlignedData => [
      // the value of a step is known when the step is done
      steps.map((step) => step + 1),
      ...(spread ? [scaled(mean), scaled(low), scaled(high)] : [scaled(mean)]),
    ],
  )
  return uPlot.join(tables)
}

function optionsOf(lines: readonly Line[], { y, range }: ChartFacts, width: number): uPlot.Options {
  const series: uPlot.Series[] = [{}]
  const bands: uPlot.Band[] = []
  for (const [at, { spread, dots }] of lines.entries()) {
    const stroke = colour(`--look${at % COLOURS}`)
    const dash = [...DASHES[Math.floor(at / COLOURS) % DASHES.length]!]
    series.push({ stroke, dash, width: 2, spanGaps: true, points: { show: dots ?? false, size: 6 } })
    if (!spread) continue
    series.push(
      { show: true, width: 0, points: { show: false } },
      { show: true, width: 0, points: { show: false } },
    )
    bands.push({ series: [series.length - 1, series.length - 2], fill: `${stroke}33` })
  }
  const axis = {
    stroke: colour('--quiet'),
    font: '12px system-ui, sans-serif',
    labelFont: '12px system-ui, sans-serif',
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
  }
  const toRange = (_: uPlot, low: number, high: number): uPlot.Range.MinMax =>
    range ? [...range] : padded(Math.min(0, low ?? 0), Math.max(0, high ?? 1))
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false } },
    scales: { x: { time: false }, y: { range: toRange } },
    axes: [
      { ...axis, label: 'step', labelSize: 20, size: 34, space: 70, grid: { show: false } },
      { ...axis, label: y, labelSize: 20, size: 56, values: (_, ticks) => ticks.map(tick) },
    ],
    series,
    bands,
  }
}

function padded(low: number, high: number): [number, number] {
  const margin = (high - low || 1) * 0.05
  return [low < 0 ? low - margin : 0, high + margin]
}

function tick(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(0)
  return Number(value.toPrecision(6)).toLocaleString('en-US', { maximumSignificantDigits: 4 })
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

const SVG = 'http://www.w3.org/2000/svg'

function swatch(at: number): SVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  const path = document.createElementNS(SVG, 'path')
  for (const [name, value] of Object.entries({ class: 'swatch', viewBox: '0 0 26 8', 'aria-hidden': 'true' }))
    svg.setAttribute(name, value)
  const dash = DASHES[Math.floor(at / COLOURS) % DASHES.length]!.join(' ')
  for (const [name, value] of Object.entries({
    class: `stroke${at % COLOURS}`,
    d: 'M1 4H25',
    'stroke-dasharray': dash || 'none',
  }))
    path.setAttribute(name, value)
  svg.append(path)
  return svg
}
