import { expect, it } from 'vitest'
import { UsageError } from '../../../src/errors.js'
import type { RuntimeCommand, TrainingSession } from '../../../src/pipeline/ports/training.js'
import { CommandQueue } from '../../../src/pipeline/train/commands.js'

/** A session that answers commands with a step, or fails them. */
function session(received: RuntimeCommand[], answer: number | Error): TrainingSession {
  return {
    events: (async function* () {})(),
    command: async (command) => {
      if (answer instanceof Error) throw answer
      received.push(command)
      return answer
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

it('a command waits for the first attempt', async () => {
  const queue = new CommandQueue()
  const sent = queue.send({ type: 'pause' })
  queue.open(session([], 3))
  expect(await sent).toBe(3)
})

it('a command that a failing attempt misses goes to the next one', async () => {
  const queue = new CommandQueue()
  const received: RuntimeCommand[] = []
  queue.open(session([], new Error('connection lost')))
  const sent = queue.send({ type: 'checkpoint' })
  await new Promise(setImmediate)
  queue.renew(2)
  queue.open(session(received, 4))
  expect(await sent).toBe(4)
  expect(received).toEqual([{ type: 'checkpoint' }])
})

it('a learning rate holds after a restart from an earlier step, and is not sent again after a later one', async () => {
  for (const [restart, again] of [
    [5, 1],
    [10, 0],
  ] as const) {
    const queue = new CommandQueue()
    const received: RuntimeCommand[] = []
    queue.open(session([], 10))
    await queue.send({ type: 'setLearningRate', value: 0.5 })
    queue.renew(restart)
    queue.open(session(received, restart))
    await new Promise(setImmediate)
    expect(received).toHaveLength(again)
  }
})

it('a refused command is not repeated, and the end of the run rejects those that wait', async () => {
  const queue = new CommandQueue()
  queue.open(session([], new UsageError('not now')))
  await expect(queue.send({ type: 'pause' })).rejects.toThrow('not now')
  queue.renew(0)
  const waiting = queue.send({ type: 'stop', reason: 'user' })
  expect(queue.stopWanted).toBe('user')
  await queue.stopping
  queue.end(new Error('the run has ended'))
  await expect(waiting).rejects.toThrow('the run has ended')
})
