import { describe, expect, test } from 'vitest'
import { cardOf, type FailureCard, RuntimeCrashError, UsageError } from '../src/errors.js'

describe('the hint of an error', () => {
  test.each([
    ['choose another --out', 'choose another out'],
    ['pass `--accept-changes`, or undo that', 'pass `acceptChanges`, or undo that'],
    [
      'resume with `freetumor train --resume RUN`, or set --out',
      'resume with `freetumor train --resume RUN`, or set out',
    ],
    ['run `npx freetumor@1.2.3 train --resume RUN`', 'run `npx freetumor@1.2.3 train --resume RUN`'],
    ['raise the limit: `ulimit -u`', 'raise the limit: `ulimit -u`'],
  ])('names options of the API instead of flags: %s', (hint, inApi) => {
    const error = new UsageError('wrong', { hint })
    expect(error.hint).toBe(inApi)
    expect(error.commandHint).toBe(hint)
    expect(error.toJSON().hint).toBe(inApi)
  })

  test('is undefined when there is none', () => {
    expect(new UsageError('wrong').hint).toBeUndefined()
  })
})

test('the card of a failed job is a typed property; other errors have none', () => {
  const card: FailureCard = {
    kind: 'signal',
    rank: 1,
    message: 'rank 1 was killed by SIGKILL',
    hint: '',
    signal: 'SIGKILL',
    exitCode: 1,
    traceback: '',
    lastLines: [],
    logs: 'logs',
    time: '2026-01-01T00:00:00Z',
  }
  const error = new RuntimeCrashError('failed', { facts: { card } })
  expect(error.card).toEqual(card)
  expect(cardOf(error)).toEqual(card)
  expect(new UsageError('wrong').card).toBeNull()
  expect(cardOf(new TypeError('bug'))).toBeNull()
})
