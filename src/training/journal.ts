import { join } from 'node:path'
import type { JsonLog } from '../jsonl.js'
import { openEventLog, readValidations } from './event-log.js'
import { EventStream, mergeSteps } from './event-stream.js'
import type { RunEvent } from './events.js'
import type { Validation } from './selection.js'

/** An event before its time is set. */
export type Untimed = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, 'time'> : never) : never

/** Records the events of a run in its log, passes them to its readers, and keeps its validations. */
export class RunJournal {
  readonly stream = new EventStream<RunEvent>(mergeSteps)
  readonly validations: Validation[] = []
  #log: JsonLog<RunEvent> | null = null

  /** @param file its name in the run's directory */
  constructor(
    private readonly file: () => string = () => 'events.jsonl',
    /** Throws when this process may not write into the run any more. */
    private readonly check: () => void = () => {},
  ) {}

  /** Opens the log of a run, or opens it again, cut to what was over before `step`; infinity keeps all. */
  async open(directory: string, step: number): Promise<void> {
    const path = join(directory, this.file())
    await this.#log?.close()
    this.#log = null
    this.#log = await openEventLog(path, step)
    this.validations.splice(0, this.validations.length, ...(await readValidations(path)))
  }

  emit(event: Untimed): void {
    this.check()
    const timed = { time: new Date().toISOString(), ...event } as RunEvent
    this.#log?.write(timed)
    this.stream.push(timed)
  }

  note(text: string, level: 'info' | 'warning' = 'info'): void {
    this.emit({ type: 'note', level, text })
  }

  async flush(): Promise<void> {
    await this.#log?.flush()
  }

  /** Closes the log without a last event: another process writes the run's events now. */
  async abandon(): Promise<void> {
    await this.#log?.close().catch(() => {})
    this.#log = null
  }

  /** The last event, then the end of the log; returns what went wrong with the log, if anything did. */
  async close(last: Untimed): Promise<unknown> {
    try {
      this.emit(last)
      await this.#log?.close()
      return undefined
    } catch (error) {
      return error
    } finally {
      this.#log = null
    }
  }
}
