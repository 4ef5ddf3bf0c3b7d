import { asRecord, parseForeignJson } from '../../foreign-text.js'
import { openInside, readTextInside } from '../inside.js'
import { type Collection, MAX_ITEMS, type PlacedCollection } from './collection.js'
import { Columns } from './columns.js'
import type { CollectionKind } from './messages.js'
import type { OpenItem } from './places.js'

/** Largest result of an audit or a check that is read. */
const MAX_BYTES = 64 * 2 ** 20

/** A collection in one JSON file, which is read again when it changes. */
export abstract class JsonCollection implements Collection {
  readonly path: string
  readonly root: string
  columns = new Columns()
  readonly damagedLines = 0
  unlisted = 0
  #revision = ''

  abstract readonly kind: CollectionKind
  protected abstract readonly file: string
  /** Return the items of the parsed file. */
  protected abstract itemsOf(value: Readonly<Record<string, unknown>>): readonly unknown[]
  protected abstract add(columns: Columns, item: Readonly<Record<string, unknown>>): void
  abstract item(at: number): Promise<OpenItem>

  constructor(
    { root, path }: PlacedCollection,
    protected readonly roots: readonly string[],
  ) {
    this.root = root
    this.path = path
  }

  get revision(): string {
    return this.#revision
  }

  async poll(): Promise<void> {
    const revision = await this.#stamp()
    if (revision === this.#revision) return
    const text = await readTextInside(this.root, this.file, MAX_BYTES)
    const value = asRecord(text === null ? {} : parseForeignJson(text, this.file)) ?? {}
    const items = this.itemsOf(value)
      .map(asRecord)
      .filter((one) => one !== undefined)
    const columns = new Columns()
    for (const item of items.slice(0, MAX_ITEMS)) this.add(columns, item)
    this.columns = columns
    this.unlisted = Math.max(0, items.length - MAX_ITEMS)
    this.#revision = revision
  }

  async close(): Promise<void> {}

  async #stamp(): Promise<string> {
    await using file = await openInside(this.root, this.file)
    if (file === null) return 'missing'
    const { size, mtimeMs, ino } = await file.stat()
    return `${ino}-${size}-${mtimeMs}`
  }
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 2000) : ''
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

/** Return three coordinates; undefined for anything else. */
export function positionOf(value: unknown): readonly [number, number, number] | undefined {
  const numbers = Array.isArray(value) && value.length === 3 ? value.map(numberOf) : []
  return numbers.length === 3 && numbers.every((one) => one !== null)
    ? (numbers as [number, number, number])
    : undefined
}
