interface Listening {
  readonly acts: Set<() => void>
  stop(): void
}

const listening = new WeakMap<AbortSignal, Listening>()

/**
 * Call `act` when the signal aborts, or at once if it already has. Return a function that stops listening; call it when
 * the work ends.
 *
 * All calls that share a signal share one listener, because Node prints MaxListenersExceededWarning at the eleventh. For
 * the same reason no caller's signal is passed to Node itself (`setTimeout`, `execFile`) or to `AbortSignal.any`.
 */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal === undefined) return () => {}
  if (signal.aborted) {
    act()
    return () => {}
  }
  const { acts, stop } = listening.get(signal) ?? listen(signal)
  // a function of its own: two callers may pass the same `act`
  const mine = (): void => act()
  acts.add(mine)
  return () => {
    if (acts.delete(mine) && acts.size === 0) stop()
  }
}

function listen(signal: AbortSignal): Listening {
  const acts = new Set<() => void>()
  const stop = (): void => {
    listening.delete(signal)
    signal.removeEventListener('abort', actAll)
  }
  const actAll = (): void => {
    stop()
    for (const act of acts) act()
  }
  signal.addEventListener('abort', actAll)
  const begun = { acts, stop }
  listening.set(signal, begun)
  return begun
}
