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

  /** @param file returns the name of the log in the run's directory */
  constructor(
    private readonly file: () => string = () => 'events.jsonl',
    /** Throws if this process may no longer write into the run. */
    private readonly check: () => void = () => {},
  ) {}

  /** Open the log of a run again; remove events that were not complete before `step`. Infinity keeps all events. */
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

  /** Pass a message to the readers without recording it. Never throws. */
  announce(text: string, level: 'info' | 'warning' = 'info'): void {
    this.stream.push({ time: new Date().toISOString(), type: 'note', level, text })
  }

  async flush(): Promise<void> {
    await this.#log?.flush()
  }

  /** Close the log without a last event, because another process writes the run's events now. */
  async abandon(): Promise<void> {
    await this.#log?.close().catch(() => {})
    this.#log = null
  }

  /** Write the last event and close the log; return the error of the log, if any. */
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
