import type { FailureCard } from '../../errors.js'
import type { CurveName, Moment, RunRow, RunUpdate, TumorKindSum } from '../messages.js'

const MAX_MOMENTS = 500

export interface ReceivedCurve {
  readonly names: readonly string[]
  readonly steps: number[]
  readonly rows: (readonly (number | null)[])[]
}

/** Values of one name of a curve, by bin. */
export interface NamedValues {
  readonly steps: readonly number[]
  readonly mean: readonly (number | null)[]
  readonly low: readonly (number | null)[]
  readonly high: readonly (number | null)[]
}

/** Everything received about one run. */
export class RunState {
  row: RunRow | null = null
  failure: FailureCard | null = null
  moments: Moment[] = []
  kinds: readonly TumorKindSum[] = []
  damagedLines = 0
  #curves = new Map<CurveName, ReceivedCurve>()

  apply(update: RunUpdate): void {
    if (update.reset) {
      this.moments = []
      this.#curves = new Map()
    }
    if (update.row) this.row = update.row
    if (update.failure !== undefined) this.failure = update.failure
    if (update.kinds) this.kinds = update.kinds
    this.damagedLines = update.damagedLines ?? this.damagedLines
    if (update.moments) this.moments = [...this.moments, ...update.moments].slice(-MAX_MOMENTS)
    for (const [name, { names, from, steps, rows }] of Object.entries(update.curves ?? {})) {
      const before = this.#curves.get(name as CurveName)
      this.#curves.set(name as CurveName, {
        names,
        steps: [...(before?.steps.slice(0, from) ?? []), ...steps],
        rows: [...(before?.rows.slice(0, from) ?? []), ...rows],
      })
    }
  }

  /** Return the names of a curve, in the order in which they appeared. */
  namesOf(curve: CurveName): readonly string[] {
    return this.#curves.get(curve)?.names ?? []
  }

  /** Return the values of a name; null if no bin has one. */
  valuesOf(curve: CurveName, name: string): NamedValues | null {
    const { names, steps, rows } = this.#curves.get(curve) ?? { names: [], steps: [], rows: [] }
    const at = names.indexOf(name) * 3
    if (at < 0) return null
    const column = (offset: number): (number | null)[] => rows.map((row) => row[at + offset] ?? null)
    const mean = column(0)
    return mean.some((value) => value !== null) ? { steps, mean, low: column(1), high: column(2) } : null
  }
}
