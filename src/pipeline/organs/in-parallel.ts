import { onAbort } from '../../abort.js'

/**
 * Work on items, a number of them at a time, and yield results in the order of completion. If the work fails, or the
 * consumer ends early, the work on other items is aborted and awaited first.
 * @throws the first error of the work; the reason of the signal
 */
export async function* inParallel<T, R>(
  items: readonly T[],
  workers: number,
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): AsyncIterable<R> {
  const all = new AbortController()
  const release = onAbort(signal, () => all.abort(signal?.reason))
  const running = new Map<number, Promise<{ readonly at: number; readonly result: R }>>()
  let next = 0
  const start = (): void => {
    const at = next++
    const working = work(items[at]!, all.signal).then((result) => ({ at, result }))
    working.catch(() => {})
    running.set(at, working)
  }
  try {
    signal?.throwIfAborted()
    while (running.size < workers && next < items.length) start()
    while (running.size > 0) {
      const { at, result } = await Promise.race(running.values())
      running.delete(at)
      yield result
      signal?.throwIfAborted()
      if (next < items.length) start()
    }
  } finally {
    all.abort(new DOMException('ended early', 'AbortError'))
    await Promise.allSettled(running.values())
    release()
  }
}
