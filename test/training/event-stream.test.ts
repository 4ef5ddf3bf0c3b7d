import { describe, expect, test } from 'vitest'
import { EventStream, mergeSteps } from '../../src/training/event-stream.js'
import type { RunEvent, StepEvent } from '../../src/training/events.js'

const time = '2026-01-01T00:00:00.000Z'

function step(at: number): StepEvent {
  return {
    time,
    type: 'step',
    job: 'baseline',
    step: at,
    epoch: 0,
    losses: { total: 1 / (at + 1) },
    learningRate: 1e-3,
    seconds: 0.5,
    waitSeconds: 0.25,
  }
}

const note = (text: string): RunEvent => ({ time, type: 'note', level: 'info', text })

async function rest(events: AsyncIterable<RunEvent> | AsyncIterator<RunEvent>): Promise<RunEvent[]> {
  const iterator = Symbol.asyncIterator in events ? events[Symbol.asyncIterator]() : events
  const seen: RunEvent[] = []
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) seen.push(next.value)
  return seen
}

describe('a reader', () => {
  test('gets every event in order, whether it waits for them or they for it', async () => {
    const stream = new EventStream(mergeSteps)
    const reading = rest(stream)
    const events = [note('a'), step(0), note('b')]
    for (const event of events) {
      stream.push(event)
      await Promise.resolve()
    }
    stream.end()
    expect(await reading).toEqual(events)
  })

  test('that is late starts at the first event, and one after the end gets all, too', async () => {
    const stream = new EventStream(mergeSteps)
    stream.push(note('a'))
    const reader = stream[Symbol.asyncIterator]()
    stream.push(note('b'))
    stream.end()
    expect(await rest(reader)).toEqual([note('a'), note('b')])
    expect(await rest(stream)).toEqual([note('a'), note('b')])
  })

  test('takes nothing from another', async () => {
    const stream = new EventStream(mergeSteps)
    const [first, second] = [rest(stream), rest(stream)]
    stream.push(step(0))
    stream.end()
    expect(await first).toEqual(await second)
  })

  test('that is slow loses no event but older steps, whose times are added to newer ones', async () => {
    const stream = new EventStream(mergeSteps)
    const reader = stream[Symbol.asyncIterator]()
    for (let at = 0; at < 1000; at++) {
      stream.push(step(at))
      if (at % 100 === 0) stream.push(note(`after ${at}`))
    }
    stream.end()
    const seen = await rest(reader)
    expect(seen.length).toBeLessThanOrEqual(256)
    const notes = seen.flatMap((event) => (event.type === 'note' ? [event.text] : []))
    expect(notes).toEqual(Array.from({ length: 10 }, (_, at) => `after ${at * 100}`))
    const steps = seen.filter((event) => event.type === 'step')
    expect(steps.at(-1)).toEqual(step(999))
    const numbers = steps.map((event) => event.step)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    expect(steps.reduce((sum, event) => sum + event.seconds, 0)).toBe(500)
    expect(steps.reduce((sum, event) => sum + event.waitSeconds, 0)).toBe(250)
    // what is merged shows the newer step's losses
    for (const event of steps) expect(event.losses).toEqual(step(event.step).losses)
  })

  test('that is slow gets every one of thousands of events that are no steps', async () => {
    const stream = new EventStream(mergeSteps)
    const reader = stream[Symbol.asyncIterator]()
    for (let at = 0; at < 2000; at++) stream.push(note(String(at)))
    stream.end()
    expect(await rest(reader)).toHaveLength(2000)
  })

  test('that leaves is dropped, and the others continue', async () => {
    const stream = new EventStream(mergeSteps)
    const staying = rest(stream)
    stream.push(note('a'))
    for await (const event of stream) {
      expect(event).toEqual(note('a'))
      break
    }
    stream.push(note('b'))
    stream.end()
    expect(await staying).toEqual([note('a'), note('b')])
  })

  test('that is slow gets the tumors of many steps added up, and keeps few events of them', async () => {
    const stream = new EventStream(mergeSteps)
    const reader = stream[Symbol.asyncIterator]()
    const counts = { kept: 1, tried: 2, shareSeen: 0.25 }
    for (let at = 0; at < 2000; at++) {
      const painted = at % 2 === 0
      const kind = { organ: 'liver', size: at % 4 === 0 ? 'small' : 'large', ...counts } as const
      stream.push(step(at))
      stream.push({
        time,
        type: 'synthesis',
        step: at,
        noRoom: 1,
        ...(painted ? counts : { kept: 0, tried: 0, shareSeen: null }),
        byOrgan: painted ? { liver: counts } : {},
        byKind: painted ? [kind] : [],
      })
    }
    stream.end()
    const seen = await rest(reader)
    expect(seen.length).toBeLessThanOrEqual(256)
    const synthesis = seen.filter((event) => event.type === 'synthesis')
    const total = (key: 'kept' | 'tried' | 'noRoom'): number =>
      synthesis.reduce((sum, event) => sum + event[key], 0)
    expect([total('kept'), total('tried'), total('noRoom')]).toEqual([1000, 2000, 2000])
    expect(synthesis[0]).toMatchObject({ shareSeen: 0.25, byOrgan: { liver: { shareSeen: 0.25 } } })
    expect(synthesis[0]!.byKind.map(({ organ, size }) => `${organ} ${size}`)).toEqual([
      'liver large',
      'liver small',
    ])
    expect(synthesis[0]!.byKind.reduce((sum, { tried }) => sum + tried, 0)).toBe(synthesis[0]!.tried)
  })

  test('gets an answer to each of several calls of next at once, in order', async () => {
    const stream = new EventStream(mergeSteps)
    stream.push(note('a'))
    const reader = stream[Symbol.asyncIterator]()
    const settled: number[] = []
    const calls = [0, 1, 2, 3, 4].map((at) => reader.next().finally(() => settled.push(at)))
    stream.push(note('b'))
    stream.push(step(0))
    stream.end(new Error('rank 1 died'))
    const answers = await Promise.allSettled(calls)
    expect(answers.slice(0, 3)).toEqual(
      [note('a'), note('b'), step(0)].map((value) => ({
        status: 'fulfilled',
        value: { value, done: false },
      })),
    )
    expect(answers[3]).toMatchObject({ status: 'rejected', reason: { message: 'rank 1 died' } })
    expect(answers[4]).toEqual({ status: 'fulfilled', value: { value: undefined, done: true } })
    expect(settled).toEqual([0, 1, 2, 3, 4])
    expect(await reader.next()).toEqual({ value: undefined, done: true })
  })

  test('that leaves while calls of next wait ends them all', async () => {
    const stream = new EventStream(mergeSteps)
    const reader = stream[Symbol.asyncIterator]()
    const calls = [reader.next(), reader.next()]
    await reader.return?.()
    stream.push(note('a'))
    const end = { value: undefined, done: true }
    expect(await Promise.all([...calls, reader.next()])).toEqual([end, end, end])
  })

  test('gets the error of the end after the last event, also when it comes late', async () => {
    const stream = new EventStream(mergeSteps)
    const early = stream[Symbol.asyncIterator]()
    stream.push(note('a'))
    stream.end(new Error('rank 1 died'))
    for (const reader of [early, stream[Symbol.asyncIterator]()]) {
      expect(await reader.next()).toEqual({ value: note('a'), done: false })
      await expect(reader.next()).rejects.toThrow('rank 1 died')
    }
  })
})
