import type { CliIo } from './output.js'

/** Return a callback that prints the progress over cases and the time left, at most about 100 times. */
export function caseProgress(io: CliIo): (done: number, total: number, id: string) => void {
  const started = performance.now()
  return (done, total, id) => {
    const step = Math.max(1, Math.floor(total / 100))
    if (done % step !== 0 && done !== total) return
    const seconds = ((performance.now() - started) / 1000 / done) * (total - done)
    io.note(`${done}/${total} ${id}${done === total || done < 2 ? '' : `, ${durationOf(seconds)} left`}`)
  }
}

/** Return a duration in the unit that suits it. */
export function durationOf(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
