import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openEventLog } from '../../src/training/event-log.js'
import type { RunEvent } from '../../src/training/events.js'
import { followEvents } from '../../src/training/follow-events.js'
import { temporaryFolder } from '../helpers/temporary.js'

const step = (number: number, loss: number): RunEvent => ({
  type: 'step',
  time: `2026-01-01T00:00:${loss}`,
  job: 'baseline',
  step: number,
  epoch: 0,
  losses: { total: loss },
  learningRate: 1,
  seconds: 1,
  waitSeconds: 0,
})

it('yields each event once, also when a restart cuts the log', async () => {
  const directory = temporaryFolder()
  const path = join(directory, 'events.jsonl')
  const first = await openEventLog(path)
  for (const number of [0, 1, 2]) first.write(step(number, number + 10))
  await first.close()
  const seen: RunEvent[] = []
  let polls = 0
  const ended = async (): Promise<boolean> => {
    polls++
    if (polls > 1) return true
    // the run restarts from the checkpoint of step 1
    const second = await openEventLog(path, 1)
    for (const number of [1, 2, 3]) second.write(step(number, number + 20))
    await second.close()
    return false
  }
  for await (const event of followEvents(directory, ended)) seen.push(event)
  expect(seen.map((event) => event.type === 'step' && [event.step, event.losses.total])).toEqual([
    [0, 10],
    [1, 11],
    [2, 12],
    [1, 21],
    [2, 22],
    [3, 23],
  ])
})

it('waits for a log that does not exist yet', async () => {
  const directory = temporaryFolder()
  let polls = 0
  const ended = async (): Promise<boolean> => {
    polls++
    if (polls === 1) await writeFile(join(directory, 'events.jsonl'), `${JSON.stringify(step(0, 10))}\n`)
    return polls > 1
  }
  const seen = []
  for await (const event of followEvents(directory, ended)) seen.push(event)
  expect(seen).toHaveLength(1)
})

it('ends when its signal aborts', async () => {
  const stop = new AbortController()
  const ended = async (): Promise<boolean> => {
    stop.abort()
    return false
  }
  const seen = []
  for await (const event of followEvents(temporaryFolder(), ended, stop.signal)) seen.push(event)
  expect(seen).toEqual([])
})
