import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { FailureCard } from '../errors.js'
import { FileFollower } from '../training/line-follower.js'
import type { Catalogue, PlacedRun } from './catalogue.js'
import { readFailure } from './detail.js'
import { type Cursor, RunDigest } from './digest.js'
import { openInside } from './inside.js'
import type { RunUpdate } from './messages.js'

/** Time between two looks at the files of a run. */
const POLL_MS = 500

/** State of one reader of one run. */
export interface ReaderState {
  readonly cursor: Cursor | null
  readonly row: string
  readonly failure: string
}

export const NEW_READER: ReaderState = { cursor: null, row: '', failure: '' }

/** Runs that clients watch. Clients of one run share its digest. */
export class Watches {
  readonly #watched = new Map<string, { readonly run: WatchedRun; readers: number }>()

  constructor(private readonly catalogue: Catalogue) {}

  /** Follow a run until `release`. */
  open(place: PlacedRun): { readonly run: WatchedRun; release(): Promise<void> } {
    const entry = this.#watched.get(place.id) ?? { run: new WatchedRun(place, this.catalogue), readers: 0 }
    this.#watched.set(place.id, entry)
    entry.readers++
    const release = async (): Promise<void> => {
      if (--entry.readers > 0) return
      if (this.#watched.get(place.id) === entry) this.#watched.delete(place.id)
      await entry.run.close()
    }
    return { run: entry.run, release }
  }
}

/** One run that is followed live. */
export class WatchedRun {
  readonly #digest = new RunDigest()
  readonly #follower: FileFollower
  #polledAt = Number.NEGATIVE_INFINITY
  #row: { readonly text: string; readonly row: NonNullable<RunUpdate['row']> } | null = null
  #failure: { readonly text: string; readonly card: FailureCard | null } = { text: 'null', card: null }
  #failureChanged = -1
  #polling: Promise<void> | null = null

  constructor(
    private readonly place: PlacedRun,
    private readonly catalogue: Catalogue,
  ) {
    const events = join(place.directory, 'events.jsonl')
    this.#follower = new FileFollower(() => openInside(place.root, events), events, this.#digest)
  }

  /** Read the new events, at most once per `POLL_MS` for all clients. @throws DataError */
  async poll(): Promise<void> {
    if (this.#polling === null && performance.now() - this.#polledAt < POLL_MS) return
    this.#polling ??= this.#read().finally(() => {
      this.#polledAt = performance.now()
      this.#polling = null
    })
    await this.#polling
  }

  /** Return what changed for a reader; the update is null if nothing did. */
  since(state: ReaderState): { update: RunUpdate | null; state: ReaderState } {
    const { update, cursor } = this.#digest.since(state.cursor)
    const row = this.#row !== null && this.#row.text !== state.row ? { row: this.#row.row } : {}
    const failure = this.#failure.text !== state.failure ? { failure: this.#failure.card } : {}
    const whole = { run: this.place.id, ...update, ...row, ...failure }
    return {
      update: Object.keys(whole).length > 1 ? whole : null,
      state: { cursor, row: this.#row?.text ?? '', failure: this.#failure.text },
    }
  }

  close(): Promise<void> {
    return this.#follower.close()
  }

  async #read(): Promise<void> {
    await Promise.all([this.#follower.poll(), this.#readRow(), this.#readFailure()])
  }

  async #readRow(): Promise<void> {
    const row = await this.catalogue.rowOf(this.place.id)
    if (row !== undefined) this.#row = { text: JSON.stringify(row), row }
  }

  async #readFailure(): Promise<void> {
    const changed = await stat(join(this.place.directory, 'failure.json')).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    )
    if (changed === this.#failureChanged) return
    const card = await readFailure(this.place)
    this.#failureChanged = changed
    this.#failure = { text: JSON.stringify(card), card }
  }
}
