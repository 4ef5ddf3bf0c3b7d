import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { loadConfig } from '../config/load.js'
import { RECORD } from '../config/paths.js'
import type { RunConfig } from '../config/schema.js'
import { holderInWords } from '../pipeline/locks.js'
import type { Holder } from '../pipeline/ports/common.js'
import type { ControlledProcesses } from '../pipeline/ports/runs.js'
import { runsBelow } from '../pipeline/runs/list.js'
import { FileFollower, type LineSink } from '../training/line-follower.js'
import type { RunStatus } from '../training/run.js'
import { brokenRun, NO_PROGRESS, type RunProgress, summariseRun, withEvent } from '../training/run-summary.js'
import { openInside, realPathInside } from './inside.js'
import type { RunRow } from './messages.js'
import { readEvent } from './read-event.js'

/** Most runs that are listed: each keeps a file open. */
const MAX_RUNS = 500
/** A list this old is made again. */
const LIST_MS = 2000
/** The check of locks starts Python. */
const HOLDERS_MS = 30_000
/** Time that a list waits for the events of its runs. */
const PATIENCE_MS = 500
/** Files of a run that are read for its summary. */
const SUMMARY_FILES = [RECORD, 'events.jsonl', 'exit.json', 'control.json']

/** A run with the given folder that it lies in. */
export interface PlacedRun {
  readonly id: string
  readonly root: string
  readonly directory: string
}

/** The runs below the given folders. */
export class Catalogue {
  #runs = new Map<string, ListedRun>()
  #unlisted = 0
  #rows: Promise<RunRow[]> | null = null
  #rowsAt = Number.NEGATIVE_INFINITY
  #holders: ReadonlyMap<string, Holder> = new Map()
  #holdersAt = Number.NEGATIVE_INFINITY

  /** @param roots real paths */
  constructor(
    private readonly roots: readonly string[],
    private readonly processes: ControlledProcesses,
  ) {}

  get unlisted(): number {
    return this.#unlisted
  }

  /** Return the runs, newest first. */
  rows(): Promise<RunRow[]> {
    if (this.#rows === null || performance.now() - this.#rowsAt > LIST_MS) {
      this.#rowsAt = performance.now()
      this.#rows = this.#list()
    }
    return this.#rows
  }

  /** Return a run by its id; undefined if there is none. */
  async find(id: string): Promise<PlacedRun | undefined> {
    if (!this.#runs.has(id)) await this.rows()
    return this.#runs.get(id)?.place
  }

  /** Return the present row of a run. While many events are new, it has those read so far. */
  async rowOf(id: string): Promise<RunRow | undefined> {
    const run = this.#runs.get(id)
    if (run === undefined) return undefined
    await Promise.race([run.poll(), waited(PATIENCE_MS)])
    return await this.#rowOf(run)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.close()))
    this.#runs.clear()
  }

  async #list(): Promise<RunRow[]> {
    await this.#search()
    const runs = [...this.#runs.values()]
    await Promise.race([Promise.all(runs.map((run) => run.poll())), waited(PATIENCE_MS)])
    await this.#updateHolders()
    const rows = await Promise.all(runs.map((run) => this.#rowOf(run)))
    return rows.sort((a, b) => (b.begun ?? '').localeCompare(a.begun ?? ''))
  }

  async #search(): Promise<void> {
    const found = new Map<string, PlacedRun>()
    for (const root of this.roots)
      for (const directory of await runsBelow(root))
        found.set(idOf(directory), { id: idOf(directory), root, directory })
    const places = await newest([...found.values()])
    this.#unlisted = found.size - places.length
    const listed = new Set(places.map(({ id }) => id))
    for (const [id, run] of this.#runs) {
      if (listed.has(id)) continue
      this.#runs.delete(id)
      await run.close()
    }
    for (const place of places) if (!this.#runs.has(place.id)) this.#runs.set(place.id, new ListedRun(place))
  }

  async #updateHolders(): Promise<void> {
    if (performance.now() - this.#holdersAt < HOLDERS_MS) return
    this.#holdersAt = performance.now()
    const directories = [...this.#runs.values()].map(({ place }) => place.directory)
    this.#holders = await this.processes.holders(directories).catch(() => new Map())
  }

  async #rowOf(run: ListedRun): Promise<RunRow> {
    const { directory } = run.place
    const row = { id: run.place.id, device: run.device, worldSize: run.worldSize, reading: run.reading }
    try {
      for (const name of SUMMARY_FILES) await realPathInside(run.place.root, join(directory, name))
      if (run.fault !== null) throw run.fault
      const status: RunStatus | null = await this.processes.status(directory)
      const holder = status === null ? this.#holders.get(directory) : undefined
      const held = holder === undefined ? null : holderInWords(holder)
      const summary = await summariseRun(directory, await run.config(), status, held, run.progress)
      const { stepsPerSecond = null, secondsLeft = null } = status ?? {}
      return { ...summary, ...row, stepsPerSecond, secondsLeft }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      return { ...brokenRun(directory, reason), ...row, stepsPerSecond: null, secondsLeft: null }
    }
  }
}

type RunNames = Pick<RunConfig, 'name' | 'job'>

/** A run of the list, with the progress that its events show so far. */
class ListedRun implements LineSink {
  progress: RunProgress = NO_PROGRESS
  device: string | null = null
  worldSize: number | null = null
  reading = false
  /** Why the events cannot be read. */
  fault: unknown = null
  #config: { readonly changed: number; readonly config: RunNames } | null = null
  readonly #follower: FileFollower

  constructor(readonly place: PlacedRun) {
    const events = join(place.directory, 'events.jsonl')
    this.#follower = new FileFollower(() => openInside(place.root, events), events, this)
  }

  async poll(): Promise<void> {
    this.reading = true
    try {
      await this.#follower.poll()
      this.fault = null
    } catch (error) {
      this.fault = error
    } finally {
      this.reading = false
    }
  }

  /** Return name and job of the configuration; they are read again when its file changes. */
  async config(): Promise<RunNames> {
    const file = join(this.place.directory, RECORD)
    const { mtimeMs } = await stat(file)
    if (this.#config?.changed !== mtimeMs)
      this.#config = { changed: mtimeMs, config: await loadConfig(file, { onNote: () => {} }) }
    return this.#config.config
  }

  close(): Promise<void> {
    return this.#follower.close()
  }

  reset(): void {
    this.progress = NO_PROGRESS
  }

  // the page of the run reports damaged lines
  damaged(): void {}

  line(value: unknown): void {
    const event = readEvent(value)
    if (event === null) return
    this.progress = withEvent(this.progress, event)
    if (event.type === 'started') ({ device: this.device, worldSize: this.worldSize } = event)
  }
}

function idOf(directory: string): string {
  return createHash('sha256').update(directory).digest('hex').slice(0, 16)
}

/** Return the runs that changed last, if there are too many. */
async function newest(places: readonly PlacedRun[]): Promise<readonly PlacedRun[]> {
  if (places.length <= MAX_RUNS) return places
  const changed = await Promise.all(
    places.map(async (place) => ({
      place,
      at: await stat(place.directory).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    })),
  )
  return changed
    .sort((a, b) => b.at - a.at)
    .slice(0, MAX_RUNS)
    .map(({ place }) => place)
}

async function waited(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds).unref())
}
