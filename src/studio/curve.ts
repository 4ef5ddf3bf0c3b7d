import type { CurveUpdate } from './messages.js'

/** Most names of a curve; further ones are left out, so that a hostile file takes no memory. */
const MAX_NAMES = 96

/** Summary of the values of one name in a bin. */
interface Cell {
  weight: number
  sum: number
  low: number
  high: number
}

interface Bin {
  /** Number of the bin: steps / width, rounded down. */
  at: number
  /** First step with a value. */
  step: number
  cells: (Cell | undefined)[]
  revision: number
}

/**
 * Series over steps in a bounded number of bins: when there are too many, each bin becomes twice as wide. Bins keep mean,
 * minimum and maximum.
 */
export class Curve {
  readonly #names: string[] = []
  readonly #places = new Map<string, number>()
  #bins: Bin[] = []
  #width = 1
  #revision = 0
  /** Highest number of bins that a reader may hold that differs from ours; see `since`. */
  #cutAt: { readonly revision: number; readonly length: number }[] = []

  constructor(private readonly maxBins: number) {}

  /** Return the number of changes; `since` takes it. */
  get revision(): number {
    return this.#revision
  }

  /** Add the values of a step. Values of one name are averaged by weight; others than finite numbers are left out. */
  add(step: number, values: Iterable<readonly [name: string, value: unknown, weight?: number]>): void {
    const bin = this.#binOf(step)
    bin.revision = ++this.#revision
    for (const [name, value, weight = 1] of values) {
      if (typeof value !== 'number' || !Number.isFinite(value) || !(weight > 0)) continue
      const place = this.#placeOf(name)
      if (place === undefined) continue
      bin.cells[place] = merged(bin.cells[place], { weight, sum: weight * value, low: value, high: value })
    }
    while (this.#bins.length > this.maxBins) this.#widen()
  }

  /** Remove the bins at and after a step: a restarted run repeats these steps. */
  cut(step: number): void {
    const kept = this.#bins.findLastIndex((bin) => bin.step < step) + 1
    if (kept === this.#bins.length) return
    this.#bins.length = kept
    this.#changed(kept)
  }

  /** Return the bins that a reader lacks who received the bins up to a revision. */
  since(revision: number): CurveUpdate {
    let from = this.#bins.length
    while (from > 0 && this.#bins[from - 1]!.revision > revision) from--
    for (const cut of this.#cutAt) if (cut.revision > revision) from = Math.min(from, cut.length)
    const fresh = this.#bins.slice(from)
    return {
      names: this.#names,
      from,
      steps: fresh.map(({ step }) => step),
      rows: fresh.map(({ cells }) => Array.from(cells, rowOf).flat()),
    }
  }

  #binOf(step: number): Bin {
    const at = Math.floor(step / this.#width)
    const last = this.#bins.at(-1)
    if (last?.at === at) return last
    // steps ascend, except after a restart that states no step
    if (last !== undefined && last.at > at) this.cut(at * this.#width)
    const bin: Bin = { at, step, cells: [], revision: 0 }
    this.#bins.push(bin)
    return bin
  }

  #placeOf(name: string): number | undefined {
    const place = this.#places.get(name)
    if (place !== undefined || this.#names.length >= MAX_NAMES) return place
    this.#places.set(name, this.#names.length)
    return this.#names.push(name) - 1
  }

  #widen(): void {
    this.#width *= 2
    const bins: Bin[] = []
    for (const bin of this.#bins) {
      const at = Math.floor(bin.step / this.#width)
      const last = bins.at(-1)
      if (last?.at !== at) bins.push({ ...bin, at })
      else {
        for (const [place, cell] of bin.cells.entries())
          if (cell !== undefined) last.cells[place] = merged(last.cells[place], cell)
      }
    }
    this.#bins = bins
    this.#changed(0)
  }

  /** Note that the bins from a place on are others than before. */
  #changed(length: number): void {
    const revision = ++this.#revision
    this.#cutAt = [...this.#cutAt.filter((cut) => cut.length < length), { revision, length }]
    for (const bin of this.#bins.slice(length)) bin.revision = revision
  }
}

function merged(a: Cell | undefined, b: Cell): Cell {
  if (a === undefined) return { ...b }
  return {
    weight: a.weight + b.weight,
    sum: a.sum + b.sum,
    low: Math.min(a.low, b.low),
    high: Math.max(a.high, b.high),
  }
}

function rowOf(cell: Cell | undefined): (number | null)[] {
  return cell === undefined
    ? [null, null, null]
    : [shortened(cell.sum / cell.weight), shortened(cell.low), shortened(cell.high)]
}

/** Six digits are more than a chart shows. */
function shortened(value: number): number {
  return Number(value.toPrecision(6))
}
