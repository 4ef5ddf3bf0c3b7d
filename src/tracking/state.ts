import { randomUUID } from 'node:crypto'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../errors.js'
import { asRecord, readForeignJson } from '../foreign-text.js'
import { writeWhole } from '../whole-file.js'
import type { TrackerName } from './tracker.js'

/** State of a run on one tracker. */
export interface TrackerState {
  readonly at: string
  readonly run: string | null
  /** Last step whose values the tracker has acknowledged; -1 before the first. */
  readonly step: number
}

/** File in a run directory with the ids of the run on trackers, and the last acknowledged step of each. */
const FILE = 'tracking.json'

/** The file `tracking.json` of a run. */
export class TrackingState {
  #writing: Promise<void> = Promise.resolve()

  private constructor(
    private readonly path: string,
    /** Id of the run directory on every tracker. */
    readonly id: string,
    private readonly trackers: Map<string, TrackerState>,
  ) {}

  /**
   * Read the state of a run, or begin it.
   * @throws DataError for a damaged file: a new id would be a second run on the trackers
   */
  static async open(directory: string): Promise<TrackingState> {
    const path = join(directory, FILE)
    const exists = await access(path).then(
      () => true,
      () => false,
    )
    if (exists)
      return new TrackingState(path, ...stateIn(await readForeignJson(path, { bytes: 65536 }), path))
    const state = new TrackingState(path, randomUUID(), new Map())
    // before the first request, so that a killed process never creates a second run
    await state.#write()
    return state
  }

  /** Return the state on a tracker; at another address the run begins again. */
  of(name: TrackerName, at: string): TrackerState {
    const found = this.trackers.get(name)
    return found?.at === at ? found : { at, run: null, step: -1 }
  }

  /** Resolve when the state on a tracker is on the disk. */
  set(name: TrackerName, state: TrackerState): Promise<void> {
    this.trackers.set(name, state)
    return this.#write()
  }

  #write(): Promise<void> {
    this.#writing = this.#writing
      .catch(() => {})
      .then(() => {
        const content = { id: this.id, trackers: Object.fromEntries(this.trackers) }
        return writeWhole(this.path, `${JSON.stringify(content, null, 2)}\n`)
      })
    return this.#writing
  }
}

function stateIn(content: unknown, path: string): [string, Map<string, TrackerState>] {
  const { id, trackers } = asRecord(content) ?? {}
  const entries = Object.entries(asRecord(trackers) ?? {})
  if (typeof id !== 'string' || !/^[0-9a-f-]{36}$/.test(id) || !entries.every(([, value]) => isState(value)))
    throw new DataError(`${path}: is not a record of trackers`, {
      hint: 'restore the file, or remove it: the run then starts again on every tracker',
    })
  return [id, new Map(entries as [string, TrackerState][])]
}

function isState(value: unknown): value is TrackerState {
  const { at, run, step } = asRecord(value) ?? {}
  return typeof at === 'string' && (run === null || typeof run === 'string') && Number.isSafeInteger(step)
}
