import type { RunEvent, StepEvent } from './events.js'

/** Past this many unread events a reader's older step events are merged into the newest. */
const MERGE_ABOVE = 256

/**
 * Events for any number of readers. Every reader starts at the first event kept for late readers. A slow reader never
 * blocks who pushes and never grows memory: `makeRoom` shortens the list of what it has not read yet.
 */
export class EventStream<E> implements AsyncIterable<E> {
  readonly #past: E[] = []
  readonly #readers = new Set<Reader<E>>()
  #ending: Ending | null = null

  /** @param makeRoom called with a list of unread events whenever one was added */
  constructor(private readonly makeRoom: (unread: E[]) => void) {}

  push(event: E): void {
    this.#past.push(event)
    this.makeRoom(this.#past)
    for (const reader of this.#readers) reader.push(event)
  }

  /** No more events; with an error, every reader throws it after the last event. */
  end(error?: unknown): void {
    this.#ending = error === undefined ? {} : { error }
    for (const reader of this.#readers) reader.end(this.#ending)
  }

  [Symbol.asyncIterator](): AsyncIterator<E> {
    const reader = new Reader<E>([...this.#past], this.makeRoom, () => this.#readers.delete(reader))
    if (this.#ending) reader.end(this.#ending)
    else this.#readers.add(reader)
    return reader
  }
}

interface Ending {
  readonly error?: unknown
}

interface Waiting<E> {
  readonly resolve: (next: IteratorResult<E>) => void
  readonly reject: (error: unknown) => void
}

/** As with an async generator, `next` may be called several times at once: the calls are answered in order. */
class Reader<E> implements AsyncIterator<E> {
  /** Calls of `next` that wait; empty while there are unread events. */
  readonly #waiting: Waiting<E>[] = []
  #ending: Ending | null = null

  constructor(
    private readonly unread: E[],
    private readonly makeRoom: (unread: E[]) => void,
    private readonly leave: () => void,
  ) {}

  push(event: E): void {
    const first = this.#waiting.shift()
    if (first !== undefined) first.resolve({ value: event, done: false })
    else {
      this.unread.push(event)
      this.makeRoom(this.unread)
    }
  }

  end(ending: Ending): void {
    this.#ending = ending
    for (const waiting of this.#waiting.splice(0)) this.#finish(waiting)
  }

  next(): Promise<IteratorResult<E>> {
    return new Promise((resolve, reject) => {
      const event = this.unread.shift()
      if (event !== undefined) resolve({ value: event, done: false })
      else if (this.#ending) this.#finish({ resolve, reject })
      else this.#waiting.push({ resolve, reject })
    })
  }

  async return(): Promise<IteratorResult<E>> {
    this.leave()
    this.unread.length = 0
    this.end({})
    return { value: undefined, done: true }
  }

  /** The first call after the last event throws the error of the end; every later one finds the end. */
  #finish({ resolve, reject }: Waiting<E>): void {
    this.leave()
    const ending = this.#ending
    this.#ending = {}
    if (ending !== null && 'error' in ending) reject(ending.error)
    else resolve({ value: undefined, done: true })
  }
}

/** Makes room among unread events of a run: only step events are merged, every other event stays. */
export function mergeSteps(events: RunEvent[]): void {
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
