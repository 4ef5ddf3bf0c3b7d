import type { RunEvent, StepEvent, SynthesisEvent } from './events.js'

/** Largest number of unread events before older events of steps are merged into newer ones. */
const MERGE_ABOVE = 256

/**
 * Events for any number of readers. Every reader starts at the first event kept for late readers. A slow reader never
 * blocks `push` and never grows memory: `makeRoom` shortens the list of its unread events.
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

  /** End the stream; every reader throws the error, if any, after the last event. */
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

/** Reader of a stream. As with an async generator, concurrent calls of `next` are answered in order. */
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

  /** Answer a call after the last event: the first one throws the error of the end, every later one is done. */
  #finish({ resolve, reject }: Waiting<E>): void {
    this.leave()
    const ending = this.#ending
    this.#ending = {}
    if (ending !== null && 'error' in ending) reject(ending.error)
    else resolve({ value: undefined, done: true })
  }
}

/** Shorten the unread events of a run: merge the events of steps, and keep every other event. */
export function mergeSteps(events: RunEvent[]): void {
  if (events.length <= MERGE_ABOVE) return
  mergeOldest(events, isStep, merge)
  if (events.length > MERGE_ABOVE) mergeOldest(events, isSynthesis, mergeSynthesis)
}

const isStep = (event: RunEvent): event is StepEvent => event.type === 'step'
const isSynthesis = (event: RunEvent): event is SynthesisEvent => event.type === 'synthesis'

function mergeOldest<E extends RunEvent>(
  events: RunEvent[],
  is: (event: RunEvent) => event is E,
  both: (older: E, newer: E) => E,
): void {
  const oldest = events.findIndex(is)
  const newer = events.findIndex((candidate, at) => at > oldest && is(candidate))
  if (oldest < 0 || newer < 0) return
  events[newer] = both(events[oldest] as E, events[newer] as E)
  events.splice(oldest, 1)
}

/** Return the losses and rates of the newer step with the summed times of both. */
function merge(older: StepEvent, newer: StepEvent): StepEvent {
  return {
    ...newer,
    seconds: older.seconds + newer.seconds,
    waitSeconds: older.waitSeconds + newer.waitSeconds,
  }
}

/** Return the tumors of both events: counts add up, and the detected fraction is the mean over all tumors. */
function mergeSynthesis(older: SynthesisEvent, newer: SynthesisEvent): SynthesisEvent {
  const tried = older.tried + newer.tried
  const kinds = new Map<string, SynthesisEvent['byKind'][number]>()
  for (const kind of [...older.byKind, ...newer.byKind]) {
    const name = `${kind.organ}/${kind.size}`
    kinds.set(name, { ...kind, ...sum(kinds.get(name), kind) })
  }
  const byOrgan: Record<string, TumorCounts> = { ...older.byOrgan }
  for (const [organ, counts] of Object.entries(newer.byOrgan)) byOrgan[organ] = sum(byOrgan[organ], counts)
  return {
    ...newer,
    shareSeen: tried === 0 ? null : sum(countsOf(older), countsOf(newer)).shareSeen,
    kept: older.kept + newer.kept,
    tried,
    noRoom: older.noRoom + newer.noRoom,
    byOrgan: sorted(byOrgan),
    byKind: Object.values(sorted(Object.fromEntries(kinds))),
  }
}

interface TumorCounts {
  readonly kept: number
  readonly tried: number
  readonly shareSeen: number
}

function countsOf({ kept, tried, shareSeen }: SynthesisEvent): TumorCounts {
  return { kept, tried, shareSeen: shareSeen ?? 0 }
}

function sum(a: TumorCounts | undefined, b: TumorCounts): TumorCounts {
  if (a === undefined) return b
  const tried = a.tried + b.tried
  const shareSeen = (a.shareSeen * a.tried + b.shareSeen * b.tried) / Math.max(1, tried)
  return { kept: a.kept + b.kept, tried, shareSeen }
}

function sorted<T>(named: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(named).sort(([a], [b]) => (a < b ? -1 : 1)))
}
