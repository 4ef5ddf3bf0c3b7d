import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { onAbort } from '../abort.js'
import { DataError } from '../errors.js'
import type { RunEvent } from './events.js'
import { FileFollower } from './line-follower.js'

const POLL_MS = 500

/**
 * Yield the events of a run from its log while another process writes it, oldest first. When the run restarts from a
 * checkpoint, its log is cut: the events that stay are not repeated.
 * @param ended called when there is nothing new; true ends the iteration
 * @param signal ends the iteration
 */
export async function* followEvents(
  directory: string,
  ended: () => Promise<boolean>,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent> {
  const path = join(directory, 'events.jsonl')
  const seen = new Set<string>()
  let fresh: RunEvent[] = []
  const follower = new FileFollower(() => open(path).catch(() => null), path, {
    reset: () => {},
    line: (value) => {
      const digest = createHash('sha256').update(JSON.stringify(value)).digest('base64').slice(0, 16)
      if (seen.has(digest)) return
      seen.add(digest)
      fresh.push(value as RunEvent)
    },
    damaged: () => {
      throw new DataError(`${path}: a line is damaged (it is not JSON)`, {
        hint: 'remove that line: another program changed the file',
      })
    },
  })
  const stopped = new AbortController()
  const release = onAbort(signal, () => stopped.abort())
  try {
    for (let over = false; !stopped.signal.aborted; ) {
      await follower.poll()
      const events = fresh
      fresh = []
      for (const event of events) {
        if (stopped.signal.aborted) return
        yield event
      }
      if (events.length > 0) continue
      // the last events may be written just before the end
      if (over) return
      over = await ended()
      if (!over) await wait(POLL_MS, undefined, { signal: stopped.signal }).catch(() => {})
    }
  } finally {
    release()
    await follower.close()
  }
}
