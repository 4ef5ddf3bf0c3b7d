import { describe, expect, it, test } from 'vitest'
import { Hello, JobEvent } from '../../src/generated/freetumor/runtime/v1/control.js'
import {
  reviveError,
  reviveFailure,
  toCaseOutcome,
  toCommand,
  toRuntimeEvent,
} from '../../src/runtime/events.js'

const hello = Hello.fromPartial({
  worldSize: 2,
  device: 'cpu',
  python: '3.11.7',
  torch: '2.13.0',
  monai: '1.6.1',
})
const told = (event: JobEvent['event']) => toRuntimeEvent(JobEvent.fromPartial({ event }), hello)

describe('an event of the job', () => {
  it('is reported with the values of the hello, numbers as numbers', () => {
    expect(told({ $case: 'ready', value: { step: 12n, parameters: { segmentor: 350_000n } } })).toEqual({
      type: 'ready',
      step: 12,
      device: 'cpu',
      worldSize: 2,
      versions: { python: '3.11.7', torch: '2.13.0', monai: '1.6.1' },
      parameters: { segmentor: 350_000 },
    })
  })

  it('of a validated case has its counts', () => {
    const counts = [{ label: 2, truePositive: 5, falsePositive: 1, falseNegative: 0 }]
    const event = told({ $case: 'caseResult', value: { caseId: 'a/b', json: JSON.stringify({ counts }) } })
    expect(event).toEqual({ type: 'validationCase', caseId: 'a/b', counts })
  })

  it('of another form is refused', () => {
    expect(() => told({ $case: 'caseResult', value: { caseId: 'a', json: '{"counts": 3}' } })).toThrow()
    expect(() => told(undefined)).toThrow(/sent an unsupported event/)
  })
})

test.each([
  ['usage', 'usage', 2],
  ['config', 'config', 2],
  ['data', 'data', 3],
  ['environment', 'environment', 4],
  ['checkpoint', 'checkpoint', 2],
  ['stopped', 'stopped', 75],
  ['runtime', 'runtime', 5],
  ['something new', 'runtime', 5],
])('an error of kind %s comes back as %s, exit %i', (kind, code, exitCode) => {
  expect(reviveError({ kind, message: 'a', hint: 'b' })).toMatchObject({
    code,
    exitCode,
    message: 'a',
    hint: 'b',
  })
})

test('a failure keeps its rank and traceback as facts', () => {
  const failure = reviveFailure({ kind: 'data', message: 'm', hint: '', rank: 3, traceback: 'Traceback' })
  expect(failure).toMatchObject({ code: 'data', hint: undefined, facts: { rank: 3, traceback: 'Traceback' } })
})

test('a case is its result, or the error that befell it', () => {
  const parse = (value: unknown): unknown => value
  expect(toCaseOutcome('a', '{"x": 1}', parse)).toEqual({ caseId: 'a', result: { x: 1 } })
  const error = { kind: 'data', message: 'm', hint: 'h' }
  expect(toCaseOutcome('a', JSON.stringify({ error }), parse)).toEqual({ caseId: 'a', error })
})

test('commands cross by their names', () => {
  expect(toCommand({ type: 'checkpoint' })?.$case).toBe('saveCheckpoint')
  expect(toCommand({ type: 'stop', reason: 'enough' })).toEqual({
    $case: 'stop',
    value: { reason: 'enough' },
  })
})
