import { expect, it } from 'vitest'
import { Progress } from '../../../src/pipeline/train/progress.js'

it('starts without a checkpoint, or at the step of one', () => {
  const progress = new Progress()
  expect(progress.reached).toEqual({ step: 0, savedStep: -1 })
  progress.startFrom({ step: 12 })
  expect(progress.reached).toEqual({ step: 12, savedStep: 12 })
  progress.startFrom(null)
  expect(progress.reached).toEqual({ step: 0, savedStep: -1 })
})

it('takes a start above step 0 for a saved step', () => {
  const progress = new Progress()
  progress.started(0)
  expect(progress.reached).toEqual({ step: 0, savedStep: -1 })
  progress.started(7)
  expect(progress).toMatchObject({ phase: 'training', reached: { step: 7, savedStep: 7 } })
})

it('waits for a checkpoint of the step or a later one', async () => {
  const progress = new Progress()
  let waited = false
  const saved = progress.untilSaved(5).then(() => {
    waited = true
  })
  progress.saved(4)
  await new Promise(setImmediate)
  expect(waited).toBe(false)
  progress.saved(6)
  await saved
  await progress.untilSaved(6)
})

it('rejects those that wait for a checkpoint when the run ends', async () => {
  const progress = new Progress()
  const waiting = progress.untilSaved(1)
  progress.end(new Error('disk full'))
  await expect(waiting).rejects.toThrow('disk full')
  expect(progress.phase).toBe('ended')
})

it('takes its rate from the last 20 steps and forgets it at an interruption', () => {
  const progress = new Progress()
  const stepped = (step: number, atMs: number): void =>
    progress.stepped({ step, losses: { total: 1 / (step + 1) }, learningRate: 1e-3 }, atMs)
  stepped(0, 1000)
  expect(progress.stepsPerSecond()).toBeNull()
  stepped(1, 1500)
  expect(progress.stepsPerSecond()).toBe(2)
  for (let step = 2; step < 40; step++) stepped(step, 1500 + (step - 1) * 100)
  expect(progress.stepsPerSecond()).toBeCloseTo(10, 9)
  expect(progress).toMatchObject({ step: 40, last: { losses: { total: 1 / 40 }, learningRate: 1e-3 } })
  progress.interrupted()
  expect(progress.stepsPerSecond()).toBeNull()
})
