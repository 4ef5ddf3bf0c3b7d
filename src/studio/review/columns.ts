import type { TextColumn } from './messages.js'

interface GrowingTexts {
  /** Code of each text. */
  readonly places: Map<string, number>
  readonly values: string[]
  readonly codes: number[]
}

/** A table that grows by rows and keeps columns: each distinct text is kept once. */
export class Columns {
  #count = 0
  readonly #texts = new Map<string, GrowingTexts>()
  readonly #numbers = new Map<string, (number | null)[]>()

  get count(): number {
    return this.#count
  }

  /** Add a row. A column that appears late is empty in earlier rows. */
  add(texts: Readonly<Record<string, string>>, numbers: Readonly<Record<string, number | null>>): void {
    for (const [name, value] of Object.entries(texts)) {
      const column = this.#texts.get(name) ?? { places: new Map([['', 0]]), values: [''], codes: [] }
      this.#texts.set(name, column)
      while (column.codes.length < this.#count) column.codes.push(0)
      const code = column.places.get(value) ?? column.values.push(value) - 1
      column.places.set(value, code)
      column.codes.push(code)
    }
    for (const [name, value] of Object.entries(numbers)) {
      const column = this.#numbers.get(name) ?? []
      this.#numbers.set(name, column)
      while (column.length < this.#count) column.push(null)
      column.push(value)
    }
    this.#count++
  }

  textAt(name: string, at: number): string {
    const column = this.#texts.get(name)
    if (column === undefined) return ''
    return column.values[column.codes[at] ?? 0] ?? ''
  }

  numberAt(name: string, at: number): number | null {
    return this.#numbers.get(name)?.[at] ?? null
  }

  /** Return all columns; numbers with four digits, whole numbers as they are. */
  toJSON(hidden: ReadonlySet<string> = new Set()): {
    texts: Record<string, TextColumn>
    numbers: Record<string, (number | null)[]>
  } {
    const shown = <T>(columns: ReadonlyMap<string, T>) => [...columns].filter(([name]) => !hidden.has(name))
    return {
      texts: Object.fromEntries(
        shown(this.#texts).map(([name, { values, codes }]) => [
          name,
          { values, codes: filled(codes, this.#count, 0) },
        ]),
      ),
      numbers: Object.fromEntries(
        shown(this.#numbers).map(([name, values]) => [
          name,
          filled(values, this.#count, null).map((value) =>
            value === null || Number.isInteger(value) ? value : Number(value.toPrecision(4)),
          ),
        ]),
      ),
    }
  }
}

function filled<T>(values: readonly T[], count: number, empty: T): T[] {
  return values.length === count
    ? [...values]
    : [...values, ...Array.from({ length: count - values.length }, () => empty)]
}
