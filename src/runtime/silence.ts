/**
 * How long a job has given no sign, counted only while this process was itself running: not while it was suspended (Ctrl-Z,
 * SIGSTOP, a paused container) and not while the machine slept.
 */
export class Silence {
  #silentMs = 0
  #lookedAt = performance.now()

  /** @param lookEveryMs how often `seconds` is asked; a longer gap counts as twice this */
  constructor(private readonly lookEveryMs: number) {}

  /** The job has given a sign. */
  end(): void {
    this.#silentMs = 0
  }

  seconds(): number {
    const now = performance.now()
    this.#silentMs += Math.min(now - this.#lookedAt, 2 * this.lookEveryMs)
    this.#lookedAt = now
    return this.#silentMs / 1000
  }
}
