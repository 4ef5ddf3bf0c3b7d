import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openEventLog, readEvents } from '../../src/training/event-log.js'
import type { RunEvent } from '../../src/training/events.js'
import { temporaryFolder } from '../helpers/temporary.js'

const time = '2026-01-01T00:00:00.000Z'

function step(at: number): RunEvent {
  const losses = { total: 1 / (at + 1) }
  return {
    time,
    type: 'step',
    job: 'segmentation',
    step: at,
    epoch: 0,
    losses,
    learningRate: 1,
    seconds: 1,
    waitSeconds: 0,
  }
}

function synthesis(at: number): RunEvent {
  return {
    time,
    type: 'synthesis',
    step: at,
    shareSeen: null,
    kept: 0,
    tried: 0,
    noRoom: 0,
    byOrgan: {},
    byKind: [],
  }
}

function validation(at: number): RunEvent {
  return { time, type: 'validation', step: at, tumorDice: 0.5, diceByLabel: {}, numCases: 2, best: true }
}

function checkpoint(at: number): RunEvent {
  return { time, type: 'checkpoint', step: at, directory: `checkpoints/${at}`, reason: 'interval' }
}

const note: RunEvent = { time, type: 'note', level: 'info', text: 'told before any step' }

async function record(path: string, events: readonly RunEvent[], beforeStep?: number): Promise<void> {
  await using log = await openEventLog(path, beforeStep)
  for (const event of events) log.write(event)
}

async function read(path: string): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of readEvents(path)) events.push(event)
  return events
}

test('events come back as they were, in their order', async () => {
  const path = join(temporaryFolder(), 'events.jsonl')
  const events = [note, synthesis(0), step(0), validation(1), checkpoint(1)]
  await record(path, events)
  expect(await read(path)).toEqual(events)
})

test('a run that resumes from a checkpoint drops later events, and keeps those that will not recur', async () => {
  const path = join(temporaryFolder(), 'events.jsonl')
  const before = [note, synthesis(0), step(0), synthesis(1), step(1), validation(2), checkpoint(2)]
  // tumors of step 2 are judged while step 1 is under way
  const after = [synthesis(2), step(2), synthesis(3), step(3), validation(4)]
  await record(path, [...before, ...after])
  await record(path, [step(2)], 2)
  expect(await read(path)).toEqual([...before, step(2)])
})

test('a log opened without a step loses nothing', async () => {
  const path = join(temporaryFolder(), 'events.jsonl')
  await record(path, [step(0), step(1)])
  await record(path, [step(2)])
  expect(await read(path)).toEqual([step(0), step(1), step(2)])
})
