import { expect, test } from 'vitest'
import type { FailureCard } from '../../src/errors.js'
import { ConfigError, RuntimeCrashError } from '../../src/errors.js'
import { restartAfter } from '../../src/training/failure.js'

const policy = { max: 3, backoffSeconds: 5 }

function death(kind: FailureCard['kind'], message = 'died'): RuntimeCrashError {
  const rest = {
    rank: 0,
    hint: '',
    signal: null,
    exitCode: 1,
    traceback: '',
    lastLines: [],
    logs: '',
    time: '',
  }
  return new RuntimeCrashError(message, { facts: { card: { kind, message, ...rest } } })
}

test('waits twice as long each time, at most a minute', () => {
  const waits = [0, 1, 2].map((restarts) => restartAfter(death('signal'), 7, null, restarts, policy))
  expect(waits).toEqual([5, 10, 20])
  expect(restartAfter(death('signal'), 7, null, 5, { max: 9, backoffSeconds: 5 })).toBe(60)
})

test('stops when the budget is spent', () => {
  expect(restartAfter(death('hang'), 7, null, 3, policy)).toBeNull()
  expect(restartAfter(death('hang'), 7, null, 0, { max: 0, backoffSeconds: 0 })).toBeNull()
})

test('does not repeat what would happen again', () => {
  const before = { step: 7, message: 'died' }
  for (const kind of ['exception', 'outOfMemory'] as const) {
    expect(restartAfter(death(kind), 7, before, 1, policy)).toBeNull()
    expect(restartAfter(death(kind), 8, before, 1, policy)).toBe(10)
    expect(restartAfter(death(kind, 'otherwise'), 7, before, 1, policy)).toBe(10)
  }
  expect(restartAfter(death('signal'), 7, before, 1, policy)).toBe(10)
})

test('does not restart after mistakes of the user and errors without an explanation', () => {
  expect(restartAfter(new ConfigError('wrong'), 7, null, 0, policy)).toBeNull()
  expect(restartAfter(new Error('a bug'), 7, null, 0, policy)).toBeNull()
})
