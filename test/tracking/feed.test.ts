import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { onAbort } from '../../src/abort.js'
import { SupersededError } from '../../src/errors.js'
import { Feed, type FeedOptions, type Sent } from '../../src/tracking/feed.js'
import { mlflowTracker } from '../../src/tracking/mlflow.js'
import { TrackingState } from '../../src/tracking/state.js'
import type { RunFacts, Tracker } from '../../src/tracking/tracker.js'
import type { RunEvent } from '../../src/training/events.js'
import { type MlflowServer, mlflowServer, pointsOf } from '../helpers/mlflow-server.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'
import { finished, started, stepEvent, steps, validation, writeEvents } from './run-events.js'

const FACTS: RunFacts = { version: '0.2.0', seed: 7, name: null, config: null }

/** A feed without pauses; each is what a new process of the run starts. */
async function feed(
  folder: string,
  { url }: MlflowServer,
  options: Partial<FeedOptions> = {},
): Promise<Feed> {
  const state = await TrackingState.open(folder)
  const tracker = mlflowTracker(url, 'freetumor', FACTS, {})
  return new Feed(folder, tracker, state, {
    note: () => {},
    pause: () => new Promise((resolve) => setImmediate(resolve)),
    ...options,
  })
}

/** Send what the file holds, as the end of a run does. */
async function sent(folder: string, server: MlflowServer, events: readonly RunEvent[]): Promise<Sent> {
  writeEvents(folder, events)
  return await (await feed(folder, server)).end('completed')
}

const losses = (server: MlflowServer): number[] =>
  server.runs[0]!.metrics.filter(({ key }) => key === 'loss/total').map(({ step }) => step)

describe('a feed', () => {
  it('sends each value once over several parts of a run, to one run', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    const first = [started(), ...steps(0, 3), validation(3), finished(3)]
    expect(await sent(folder, server, first)).toMatchObject({ run: 'run-1', step: 2, failure: null })
    const second = [...first, started(3), ...steps(3, 5), validation(5), finished(5)]
    expect(await sent(folder, server, second)).toMatchObject({ run: 'run-1', step: 4, failure: null })
    expect(await sent(folder, server, second)).toMatchObject({ values: 0 })
    expect(server.runs).toHaveLength(1)
    const points = pointsOf(server.runs[0]!.metrics)
    expect(points).toHaveLength(new Set(points).size)
    expect(losses(server)).toEqual([0, 1, 2, 3, 4])
    expect(points.filter((point) => point.startsWith('validation/tumorDice'))).toEqual([
      'validation/tumorDice@2',
      'validation/tumorDice@4',
    ])
    expect(server.runs[0]!.status).toBe('FINISHED')
  })

  it('keeps the first value of a step that a resumed run repeats', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    await sent(folder, server, [started(), ...steps(0, 5)])
    await sent(folder, server, [started(), ...steps(0, 2), started(2), ...steps(2, 7, 99), finished(7)])
    const values = server.runs[0]!.metrics.filter(({ key }) => key === 'loss/total').map(({ value }) => value)
    expect(values).toEqual([0, 0.1, 0.2, 0.3, 99, 99, 99])
  })

  it('sends no value twice if it was killed between the answer and its record', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    await sent(folder, server, [started(), ...steps(0, 3)])
    const file = join(folder, 'tracking.json')
    const before = readFileSync(file)
    const events = [started(), ...steps(0, 6), finished(6)]
    await sent(folder, server, events)
    writeFileSync(file, before)
    expect(await sent(folder, server, events)).toMatchObject({ values: 0, step: 5 })
    expect(losses(server)).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('finds its run again if it was killed before it recorded the id', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    await sent(folder, server, [started(), ...steps(0, 3)])
    const file = join(folder, 'tracking.json')
    const { id } = JSON.parse(readFileSync(file, 'utf8'))
    writeFileSync(file, JSON.stringify({ id, trackers: {} }))
    expect(await sent(folder, server, [started(), ...steps(0, 4)])).toMatchObject({ run: 'run-1', step: 2 })
    expect(server.runs).toHaveLength(1)
  })

  it('asks the server before it repeats a request without an answer', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    let dropped = 0
    server.after = (call) => call !== 'runs/log-batch' || ++dropped > 3
    writeEvents(folder, [started(), ...steps(0, 4)])
    const notes: string[] = []
    const one = await feed(folder, server, { note: (text, level) => void notes.push(`${level}: ${text}`) })
    await until(() => notes.length === 2)
    writeEvents(folder, [started(), ...steps(0, 4), finished(4)])
    expect(await one.end('completed')).toMatchObject({ step: 3, failure: null })
    expect(losses(server)).toEqual([0, 1, 2, 3])
    expect(notes[0]).toMatch(/^warning: mlflow: http:.* does not answer .*; the values stay in events.jsonl/)
    expect(notes[1]).toBe('info: mlflow: the tracker answers again')
  })

  it('ends with the failure of a server that refuses, and sends all values later', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    server.before = () => 503
    const events = [started(), ...steps(0, 4), finished(4)]
    const result = await sent(folder, server, events)
    expect(result).toMatchObject({ run: null, values: 0, step: -1 })
    expect(result.failure?.message).toMatch(/^mlflow: http:.* answers 503: refused$/)
    server.before = () => undefined
    expect(await sent(folder, server, events)).toMatchObject({ step: 3, failure: null })
    expect(losses(server)).toEqual([0, 1, 2, 3])
  })

  it('is abandoned at once although the server never answers', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    let asked = false
    server.after = () => {
      asked = true
      return null
    }
    writeEvents(folder, [started(), ...steps(0, 4)])
    const one = await feed(folder, server)
    await until(() => asked)
    await one.abandon()
    expect(server.runs).toEqual([])
  })

  it('ends within the limit of the tracker', async () => {
    const folder = temporaryFolder()
    writeEvents(folder, [started(), ...steps(0, 4)])
    const tracker: Tracker = {
      name: 'otlp',
      at: 'http://a',
      atEnd: false,
      graceMs: 1,
      open: async () => ({ run: null, last: () => -1 }),
      send: (_steps, _started, signal) =>
        new Promise((_, reject) => void onAbort(signal, () => reject(new Error('cut off')))),
      end: async () => {},
      close: async () => {},
    }
    const one = new Feed(folder, tracker, await TrackingState.open(folder), { note: () => {} })
    expect(await one.end('completed')).toMatchObject({ step: -1, failure: { message: 'cut off' } })
  })

  it('sends nothing once another process owns the run', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    writeEvents(folder, [started(), ...steps(0, 4)])
    const check = (): void => {
      throw new SupersededError('taken over')
    }
    await (await feed(folder, server, { check })).end('completed')
    expect(server.requests).toEqual([])
  })

  it('creates no run on the tracker for a run that never started', async () => {
    const [folder, server] = [temporaryFolder(), await mlflowServer()]
    expect(await sent(folder, server, [finished(0)])).toMatchObject({ run: null, failure: null })
    expect(server.requests).toEqual([])
  })

  it('records the status of a stopped, a failed and a killed run', async () => {
    for (const [outcome, status] of [
      ['stopped', 'KILLED'],
      ['failed', 'FAILED'],
      [null, 'KILLED'],
    ] as const) {
      const [folder, server] = [temporaryFolder(), await mlflowServer()]
      writeEvents(folder, [started(), stepEvent(0), stepEvent(1)])
      await (await feed(folder, server)).end(outcome)
      expect(server.runs[0]!.status).toBe(status)
    }
  })
})

describe('the state of a run on its trackers', () => {
  it('is refused if the file is damaged, because a new id would be a second run', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'tracking.json'), '{"id": 3}')
    await expect(TrackingState.open(folder)).rejects.toThrow('tracking.json: is not a record of trackers')
  })

  it('begins again at another address', async () => {
    const state = await TrackingState.open(temporaryFolder())
    await state.set('mlflow', { at: 'http://a', run: 'x', step: 9 })
    expect(state.of('mlflow', 'http://a')).toEqual({ at: 'http://a', run: 'x', step: 9 })
    expect(state.of('mlflow', 'http://b')).toEqual({ at: 'http://b', run: null, step: -1 })
  })
})
