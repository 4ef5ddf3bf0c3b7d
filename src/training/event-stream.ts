import type { RunEvent, StepEvent } from './events.js'

/** Past this many unread events a reader's older step events are merged into the newest. */
const MERGE_ABOVE = 256

/**
 * The events of a run, for any number of readers. Every reader starts at the first event kept for late readers. A slow
 * reader never blocks the run and never grows memory: only step events are merged, every other event reaches it.
 */
export class EventStream implements AsyncIterable<RunEvent> {
  readonly #past: RunEvent[] = []
  readonly #readers = new Set<Reader>()
  #ending: Ending | null = null

  push(event: RunEvent): void {
    append(this.#past, event)
    for (const reader of this.#readers) reader.push(event)
  }

  /** No more events; with an error, every reader throws it after the last event. */
  end(error?: unknown): void {
    this.#ending = error === undefined ? {} : { error }
    for (const reader of this.#readers) reader.end(this.#ending)
  }

  [Symbol.asyncIterator](): AsyncIterator<RunEvent> {
    const reader = new Reader([...this.#past], () => this.#readers.delete(reader))
    if (this.#ending) reader.end(this.#ending)
    else this.#readers.add(reader)
    return reader
  }
}

interface Ending {
  readonly error?: unknown
}

class Reader implements AsyncIterator<RunEvent> {
  #wake: (() => void) | null = null
  #ending: Ending | null = null

  constructor(
    private readonly unread: RunEvent[],
    private readonly leave: () => void,
  ) {}

  push(event: RunEvent): void {
    append(this.unread, event)
    this.#wake?.()
  }

  end(ending: Ending): void {
    this.#ending = ending
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<RunEvent>> {
    for (;;) {
      const event = this.unread.shift()
      if (event) return { value: event, done: false }
      if (this.#ending) {
        this.leave()
        if ('error' in this.#ending) throw this.#ending.error
        return { value: undefined, done: true }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = null
    }
  }

  async return(): Promise<IteratorResult<RunEvent>> {
    this.leave()
    return { value: undefined, done: true }
  }
}

function append(events: RunEvent[], event: RunEvent): void {
  events.push(event)
  if (events.length <= MERGE_ABOVE) return
  const oldest = events.findIndex((candidate) => candidate.type === 'step')
  const newer = events.findIndex((candidate, at) => at > oldest && candidate.type === 'step')
  if (oldest < 0 || newer < 0) return
  events[newer] = merge(events[oldest] as StepEvent, events[newer] as StepEvent)
  events.splice(oldest, 1)
}

/** Losses and rates are those of the newer step; the times add up. */
function merge(older: StepEvent, newer: StepEvent): StepEvent {
  return {
    ...newer,
    seconds: older.seconds + newer.seconds,
    waitSeconds: older.waitSeconds + newer.waitSeconds,
  }
}
