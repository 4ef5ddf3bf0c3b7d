/** Measures the time in which the page is visible. */
export class VisibleTime {
  #ms = 0
  #since: number | null = null

  /** @param signal ends the measurement */
  constructor(signal: AbortSignal) {
    document.addEventListener('visibilitychange', () => this.#count(), { signal })
  }

  restart(): void {
    this.#ms = 0
    this.#since = document.hidden ? null : performance.now()
  }

  get seconds(): number {
    this.#count()
    return this.#ms / 1000
  }

  #count(): void {
    if (this.#since !== null) this.#ms += performance.now() - this.#since
    this.#since = document.hidden ? null : performance.now()
  }
}
