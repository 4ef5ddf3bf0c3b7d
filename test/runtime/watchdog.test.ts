import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Silence } from '../../src/runtime/watchdog.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

/** Asked every half second, as a watchdog does. */
function after(silence: Silence, seconds: number): number {
  let counted = 0
  for (let at = 0; at < seconds * 2; at++) {
    vi.advanceTimersByTime(500)
    counted = silence.seconds()
  }
  return counted
}

test('silence is counted in seconds and ends with a sign', () => {
  const silence = new Silence(500)
  expect(after(silence, 20)).toBe(20)
  silence.end()
  expect(after(silence, 3)).toBe(3)
})

test('time in which the watching process was suspended does not count', () => {
  const silence = new Silence(500)
  after(silence, 5)
  vi.advanceTimersByTime(3_600_000)
  expect(silence.seconds()).toBe(6)
})
