import { setTimeout as delay } from 'node:timers/promises'
import type { Context } from 'hono'
import { streamSSE } from 'hono/streaming'
import type { PlacedRun } from './catalogue.js'
import { refuse } from './guard.js'
import type { RunUpdate } from './messages.js'
import { NEW_READER, type Watches } from './watch.js'

/** Most streams at a time. */
const MAX_STREAMS = 64
const TICK_MS = 500
/** A silent stream writes this often, so that proxies keep it and a reader that is gone is noticed. */
const HEARTBEAT_MS = 15_000

/** Streams of run updates, as server-sent events. */
export class Streams {
  #open = 0
  readonly #closing = new AbortController()

  constructor(private readonly watches: Watches) {}

  /**
   * Answer with the updates of runs until the client leaves. A slow client receives fewer and larger updates: an update is made
   * when the previous one was taken.
   */
  answer(context: Context, places: readonly PlacedRun[]): Response {
    if (this.#open >= MAX_STREAMS)
      return refuse(`streams: too many (expected at most ${MAX_STREAMS})`, 'close other pages', 503)
    this.#open++
    context.header('X-Accel-Buffering', 'no')
    return streamSSE(context, async (stream) => {
      const readers = places.map((place) => ({
        ...this.watches.open(place),
        id: place.id,
        state: NEW_READER,
      }))
      let writtenAt = performance.now()
      const isOpen = (): boolean => !stream.aborted && !stream.closed && !this.#closing.signal.aborted
      const write = async (update: RunUpdate): Promise<void> => {
        await stream.writeSSE({ data: JSON.stringify(update) })
        writtenAt = performance.now()
      }
      try {
        while (isOpen()) {
          for (const reader of readers) {
            const reading = reader.run.poll().catch((error: Error) => error)
            // many events: the client receives those read so far
            const fault = await Promise.race([reading, delay(TICK_MS)])
            if (fault) return await write({ run: reader.id, error: fault.message })
            const { update, state } = reader.run.since(reader.state)
            reader.state = state
            if (update !== null && isOpen()) await write(update)
          }
          if (performance.now() - writtenAt > HEARTBEAT_MS) {
            await stream.write(': still here\n\n')
            writtenAt = performance.now()
          }
          await delay(TICK_MS)
        }
      } finally {
        this.#open--
        await Promise.all(readers.map((reader) => reader.release()))
      }
    })
  }

  close(): void {
    this.#closing.abort()
  }
}
