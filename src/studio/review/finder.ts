import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { AuditCollection } from './audit.js'
import { CheckCollection } from './check.js'
import type { Collection, PlacedCollection } from './collection.js'
import { EvaluationCollection } from './evaluation.js'
import type { HostFinder } from './host-finder.js'
import type { CollectionKind, CollectionRow } from './messages.js'
import { SyntheticCollection } from './synthetic.js'

/** Folders below a root in which collections are searched, as for runs. */
const LEVELS = 3
const MAX_LISTED = 500
const MAX_ENTRIES = 50_000
/** Collections with open files. */
const MAX_OPEN = 16
const LIST_MS = 2000
/** Results of `data check --output json` have a name of the user. */
const CHECK_FILE = /(^|[-_.])(check|findings)([-_.].*)?\.json$/i

/** The collections below the given folders. */
export class CollectionFinder {
  #places = new Map<string, PlacedCollection>()
  #rows: Promise<CollectionRow[]> | null = null
  #rowsAt = Number.NEGATIVE_INFINITY
  #unlisted = 0
  /** The last used collection is the last one. */
  readonly #open = new Map<string, Collection>()

  /** @param roots real paths */
  constructor(
    private readonly roots: readonly string[],
    private readonly hosts: HostFinder,
  ) {}

  get unlisted(): number {
    return this.#unlisted
  }

  /** Return the collections, the last changed one first. */
  rows(): Promise<CollectionRow[]> {
    if (this.#rows === null || performance.now() - this.#rowsAt > LIST_MS) {
      this.#rowsAt = performance.now()
      this.#rows = this.#list()
    }
    return this.#rows
  }

  /** Return a collection with what its files hold now; undefined if there is none of this id. @throws DataError */
  async open(id: string): Promise<Collection | undefined> {
    const place = await this.#find(id)
    if (place === undefined) return undefined
    const collection = this.#open.get(id) ?? opened(place, this.roots, this.hosts)
    this.#open.delete(id)
    this.#open.set(id, collection)
    for (const [oldest, unused] of this.#open) {
      if (this.#open.size <= MAX_OPEN) break
      this.#open.delete(oldest)
      void unused.close()
    }
    await collection.poll()
    return collection
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((one) => one.close()))
    this.#open.clear()
  }

  async #find(id: string): Promise<PlacedCollection | undefined> {
    if (!this.#places.has(id)) await this.rows()
    return this.#places.get(id)
  }

  async #list(): Promise<CollectionRow[]> {
    const found: PlacedCollection[] = []
    const budget = { entries: MAX_ENTRIES }
    for (const root of this.roots) await search(root, root, LEVELS, found, budget)
    const places = new Map(found.map((place) => [place.id, place]))
    const rows = await Promise.all([...places.values()].map(rowOf))
    rows.sort((a, b) => b.changed.localeCompare(a.changed) || a.path.localeCompare(b.path))
    this.#unlisted = Math.max(0, rows.length - MAX_LISTED)
    this.#places = places
    return rows.slice(0, MAX_LISTED)
  }
}

async function search(
  root: string,
  folder: string,
  levels: number,
  found: PlacedCollection[],
  budget: { entries: number },
): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  budget.entries -= entries.length
  if (budget.entries < 0) return
  const files = new Set(entries.filter((entry) => entry.isFile()).map(({ name }) => name))
  const folders = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
  const add = (kind: CollectionKind, path: string): void => {
    found.push({ id: idOf(kind, path), kind, root, path })
  }
  const hasList = files.has('dataset.json') || files.has('manifest.json') || files.has('synthesis.json')
  if (files.has('ledger.jsonl') && hasList) add('synthetic', folder)
  if (files.has('summary.json') && files.has('measures.jsonl')) add('evaluation', folder)
  if (files.has('audit.json')) add('audit', folder)
  for (const name of files) if (CHECK_FILE.test(name)) add('check', join(folder, name))
  if (levels === 0) return
  for (const name of folders) await search(root, join(folder, name), levels - 1, found, budget)
}

async function rowOf({ id, kind, path }: PlacedCollection): Promise<CollectionRow> {
  const changed = await stat(path).then(
    ({ mtime }) => mtime.toISOString(),
    () => '',
  )
  return { id, kind, name: basename(path), path, changed }
}

function opened(place: PlacedCollection, roots: readonly string[], hosts: HostFinder): Collection {
  switch (place.kind) {
    case 'synthetic':
      return new SyntheticCollection(place, hosts)
    case 'evaluation':
      return new EvaluationCollection(place, roots)
    case 'audit':
      return new AuditCollection(place, roots)
    case 'check':
      return new CheckCollection(place, roots)
  }
}

function idOf(kind: CollectionKind, path: string): string {
  return createHash('sha256').update(`${kind}\n${path}`).digest('hex').slice(0, 16)
}
