import { expect, it } from 'vitest'
import type { FailureCard } from '../../../src/errors.js'
import { RuntimeCrashError, StoppedError } from '../../../src/errors.js'
import {
  type Job,
  type Reached,
  refuseUnsaved,
  runJob,
  type StartPoint,
  stopOrFailure,
  waitUnless,
} from '../../../src/pipeline/train/restart.js'

const POLICY = { max: 2, backoffSeconds: 3 }

function crash(message: string): RuntimeCrashError {
  const card: Pick<FailureCard, 'kind' | 'message'> = { kind: 'signal', message }
  return new RuntimeCrashError(message, { facts: { card } })
}

/** A job whose attempts end as listed, at step 9 with a checkpoint of step 8; records what is called. */
function jobOf(endings: readonly (Error | 'done')[], stopAfter = Number.POSITIVE_INFINITY) {
  const calls: string[] = []
  const starts: (StartPoint | null | undefined)[] = []
  const reached: Reached = { step: 9, savedStep: 8 }
  const job: Job<string> = {
    attempt: async (from) => {
      const ending = endings[starts.push(from) - 1]!
      if (ending instanceof Error) throw ending
      return ending
    },
    reached: () => reached,
    stopWanted: () => (calls.filter((call) => call.startsWith('wait')).length >= stopAfter ? 'user' : null),
    failed: async ({ message }) => void calls.push(`failed ${message}`),
    wait: async (seconds) => void calls.push(`wait ${seconds}`),
    rewind: async () => ({ step: 8, directory: 'step_8' }),
    record: (event) => void calls.push(event.type),
  }
  return { job, calls, starts }
}

it('restarts from the checkpoint after a failure, with doubled backoff', async () => {
  const { job, calls, starts } = jobOf([crash('a'), crash('b'), 'done'])
  expect(await runJob(job, POLICY)).toBe('done')
  expect(calls).toEqual(['failed a', 'wait 3', 'restart', 'failed b', 'wait 6', 'restart'])
  const checkpoint = { step: 8, directory: 'step_8' }
  expect(starts).toEqual([undefined, checkpoint, checkpoint])
})

it('throws the last failure when the restarts are spent, and an error without a failure card at once', async () => {
  await expect(runJob(jobOf([crash('a'), crash('b'), crash('c')]).job, POLICY)).rejects.toThrow('c')
  const { job, calls } = jobOf([new Error('a mistake')])
  await expect(runJob(job, POLICY)).rejects.toThrow('a mistake')
  expect(calls).toEqual([])
})

it('stops at the checkpoint when a stop is requested during the wait', async () => {
  const { job, starts } = jobOf([crash('a'), 'done'], 1)
  await expect(runJob(job, POLICY)).rejects.toThrow(StoppedError)
  expect(starts).toHaveLength(1)
})

it('a wait ends early when a stop is requested', async () => {
  const before = performance.now()
  await waitUnless(Promise.resolve(), 60)
  expect(performance.now() - before).toBeLessThan(10_000)
})

it('a stop is a failure where steps are not saved', () => {
  expect(() => refuseUnsaved('runs/a', { step: 0, savedStep: -1 }, 'stop')).not.toThrow()
  expect(() => refuseUnsaved('runs/a', { step: 5, savedStep: 5 }, 'stop')).not.toThrow()
  expect(() => refuseUnsaved('runs/a', { step: 6, savedStep: 5 }, 'stop')).toThrow(
    'the newest checkpoint is of step 5',
  )
  const { signal } = new AbortController()
  const stopped = new StoppedError('user')
  expect(stopOrFailure('runs/a', { step: 5, savedStep: 5 }, stopped, signal)).toBeInstanceOf(StoppedError)
  expect(stopOrFailure('runs/a', { step: 6, savedStep: 5 }, stopped, signal)).toBeInstanceOf(
    RuntimeCrashError,
  )
})
