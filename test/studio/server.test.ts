import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startTraining } from '../../src/pipeline/train/run.js'
import { controlledProcesses, shareRun } from '../../src/runtime/run-service.js'
import type { RunDetail, RunList, RunUpdate } from '../../src/studio/messages.js'
import { openStudio } from '../../src/studio/server.js'
import type { RunEvent } from '../../src/training/events.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../pipeline/train/memory-run.js'
import {
  appendEvents,
  eventsOf,
  linesOf,
  NOBODY,
  replaceEvents,
  STARTED,
  serve,
  stepEvent,
  type TestServer,
  writeRun,
} from './runs.js'

async function listOf(server: TestServer): Promise<RunList> {
  return (await (await server.get('/api/runs')).json()) as RunList
}

/** Follow runs; the updates are put together as the page does, for the losses. */
async function follow(server: TestServer, ids: readonly string[]): Promise<Follower> {
  const leaving = new AbortController()
  onTestFinished(() => leaving.abort())
  const answer = await server.get(`/api/stream?runs=${ids.join(',')}`, { signal: leaving.signal })
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
  return new Follower(answer.body!.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]())
}

class Follower {
  readonly updates: RunUpdate[] = []
  steps: number[] = []
  losses: (number | null | undefined)[] = []
  #rest = ''

  constructor(private readonly chunks: AsyncIterator<string>) {}

  /** Read updates until a condition holds. */
  async until(done: (follower: Follower) => boolean): Promise<void> {
    while (!done(this)) {
      const { value, done: ended } = await this.chunks.next()
      if (ended) throw new Error('the stream ended')
      const messages = (this.#rest + value).split('\n\n')
      this.#rest = messages.pop()!
      for (const message of messages)
        if (message.startsWith('data: ')) this.#apply(JSON.parse(message.slice(6)))
    }
  }

  last<K extends keyof RunUpdate>(key: K): RunUpdate[K] | undefined {
    return this.updates.findLast((update) => update[key] !== undefined)?.[key]
  }

  #apply(update: RunUpdate): void {
    this.updates.push(update)
    const curve = update.curves?.steps
    if (curve === undefined) return
    const at = curve.names.indexOf('losses.total') * 3
    this.steps = [...this.steps.slice(0, curve.from), ...curve.steps]
    this.losses = [...this.losses.slice(0, curve.from), ...curve.rows.map((row) => row[at])]
  }
}

const runsFolder = (): string => join(temporaryFolder(), 'runs')

describe('the list of runs', () => {
  it('has state, job, step and device of each run, and lists a broken run', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    await writeRun(join(runs, 'torn'))
    writeFileSync(join(runs, 'torn/config.resolved.yaml'), 'job: [')
    const { runs: rows, control } = await listOf(await serve(runs))
    expect(control).toBe(false)
    expect(rows.map(({ state, job, step, steps, device }) => [state, job, step, steps, device])).toEqual(
      expect.arrayContaining([
        ['died', 'segmentation', 3, 100, 'cpu'],
        ['broken', null, 0, null, 'cpu'],
      ]),
    )
  })

  it('has rate and time left of a run that a process trains', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    const status = { phase: 'training', step: 7, steps: 100, stepsPerSecond: 2, secondsLeft: 46.5 }
    const server = await serve(runs, { processes: { ...NOBODY, status: async () => status as never } })
    const { runs: rows } = await listOf(server)
    expect(rows[0]).toMatchObject({ state: 'training', step: 7, stepsPerSecond: 2, secondsLeft: 46.5 })
  })

  it('is empty for a folder without runs', async () => {
    expect(await listOf(await serve(temporaryFolder()))).toMatchObject({ runs: [], unlisted: 0 })
  })
})

describe('a run', () => {
  it('has the keys that differ from the defaults, the configuration and the logs', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    const server = await serve(runs)
    const { id } = (await listOf(server)).runs[0]!
    const detail = (await (await server.get(`/api/runs/${id}`)).json()) as RunDetail
    expect(detail.differences).toContainEqual({
      key: 'training.learningRate',
      value: '0.0002',
      default: '0.0003',
    })
    expect(detail.differences.map(({ key }) => key)).not.toContain('losses.dice')
    expect(detail.configText).toMatch(/^name: debug-segmentation$/m)
    expect(detail.logs).toEqual([{ node: 0, rank: 0, bytes: 21 }])
    expect(await (await server.get(`/api/runs/${id}/logs/0/0`)).text()).toBe('first line\nlast line\n')
  })

  it('shows the end of a long log, from a whole line', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    const lines = Array.from({ length: 20_000 }, (_, at) => `line ${at}`)
    writeFileSync(join(runs, 'first/logs/node-0/rank-0/output.log'), lines.join('\n'))
    const server = await serve(runs)
    const { id } = (await listOf(server)).runs[0]!
    const text = await (await server.get(`/api/runs/${id}/logs/0/0`)).text()
    expect(text).toMatch(/^line \d+\n/)
    expect(text).toMatch(/line 19999$/)
    expect(text.length).toBeLessThanOrEqual(64 * 1024)
  })
})

describe('a stream', () => {
  it('starts with everything, then has each new event', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    const server = await serve(runs)
    const follower = await follow(server, [(await listOf(server)).runs[0]!.id])
    await follower.until(({ steps }) => steps.length === 3)
    expect(follower.updates[0]).toMatchObject({
      reset: true,
      row: { step: 3 },
      failure: null,
      moments: [{ type: 'started' }],
      kinds: [{ organ: 'liver', size: 'small', tried: 3, kept: 1, shareSeen: 1 / 3 }],
    })
    const validation = {
      time: STARTED.time,
      type: 'validation',
      step: 5,
      tumorDice: 0.5,
      diceByLabel: {},
      numCases: 1,
      best: true,
    }
    appendEvents(join(runs, 'first'), [...eventsOf(2, 3), validation])
    await follower.until((one) => one.steps.length === 5 && one.last('row')?.tumorDice === 0.5)
    expect(follower.updates.filter(({ reset }) => reset)).toHaveLength(1)
    expect(follower.last('curves')?.validations?.rows).toEqual([[0.5, 0.5, 0.5]])
  })

  it('waits for the end of a partially written line', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    const server = await serve(runs)
    const follower = await follow(server, [(await listOf(server)).runs[0]!.id])
    await follower.until(({ steps }) => steps.length === 3)
    const line = linesOf([stepEvent(3)])
    const whole = linesOf([STARTED, ...eventsOf(3)])
    writeFileSync(join(runs, 'first/events.jsonl'), whole + line.slice(0, 40), { flag: 'r+' })
    appendEvents(join(runs, 'first'), [])
    writeFileSync(join(runs, 'first/events.jsonl'), whole + line, { flag: 'r+' })
    await follower.until(({ steps }) => steps.length === 4)
    expect(follower.last('damagedLines')).toBe(0)
  })

  it('follows a run whose events.jsonl is replaced on resume', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'), [STARTED, ...eventsOf(10)])
    const server = await serve(runs)
    const follower = await follow(server, [(await listOf(server)).runs[0]!.id])
    await follower.until(({ steps }) => steps.length === 10)
    const kept = [STARTED, ...eventsOf(6)]
    replaceEvents(join(runs, 'first'), kept)
    await follower.until((one) => one.steps.length === 6 && one.last('row')?.step === 6)
    appendEvents(join(runs, 'first'), [{ ...STARTED, step: 6 }, stepEvent(6, 42)])
    await follower.until(({ losses }) => losses[6] === 42)
    expect(follower.steps).toEqual([0, 1, 2, 3, 4, 5, 6])
    // replaced by a longer file
    replaceEvents(join(runs, 'first'), [STARTED, ...eventsOf(40)])
    await follower.until((one) => one.steps.length === 40 && one.last('row')?.step === 40)
    expect(follower.updates.filter(({ reset }) => reset)).toHaveLength(3)
    expect(follower.losses[6]).toBeCloseTo(1 / 7, 5)
  })

  it('shows repeated steps once after a restart', async () => {
    const runs = runsFolder()
    const restart = {
      time: STARTED.time,
      type: 'restart',
      step: 4,
      diedAt: 8,
      restart: 1,
      kind: 'signal',
      reason: 'killed',
    }
    await writeRun(join(runs, 'first'), [STARTED, ...eventsOf(8), restart, ...eventsOf(2, 4)])
    const server = await serve(runs)
    const follower = await follow(server, [(await listOf(server)).runs[0]!.id])
    await follower.until(({ steps }) => steps.length > 0)
    expect(follower.steps).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('counts damaged lines and shows the failure card', async () => {
    const runs = runsFolder()
    await writeRun(join(runs, 'first'))
    appendEvents(join(runs, 'first'), ['no event', { type: 'step' }, { type: 'toString' }])
    writeFileSync(join(runs, 'first/events.jsonl'), 'not json\n', { flag: 'a' })
    const server = await serve(runs)
    const follower = await follow(server, [(await listOf(server)).runs[0]!.id])
    await follower.until((one) => one.last('damagedLines') === 4)
    const card = {
      kind: 'exception',
      rank: 1,
      message: '<b>boom</b>',
      lastLines: ['a', 'b'],
      time: STARTED.time,
    }
    writeFileSync(join(runs, 'first/failure.json'), JSON.stringify(card))
    await follower.until((one) => one.last('failure') != null)
    expect(follower.last('failure')).toMatchObject({
      rank: 1,
      message: '<b>boom</b>',
      hint: '',
      lastLines: ['a', 'b'],
    })
  })

  it('overlays runs in one stream', async () => {
    const runs = runsFolder()
    for (const name of ['a', 'b', 'c']) await writeRun(join(runs, name))
    const server = await serve(runs)
    const ids = (await listOf(server)).runs.map(({ id }) => id)
    const follower = await follow(server, ids)
    await follower.until(({ updates }) => new Set(updates.map(({ run }) => run)).size === 3)
    expect(new Set(follower.updates.map(({ run }) => run))).toEqual(new Set(ids))
  })
})

describe('a run that a process trains', () => {
  it('takes commands, and its events state the step at which each took effect', async () => {
    const runs = runsFolder()
    const config = await memoryConfig('baseline', runs, {
      training: { steps: 100_000, validateEverySteps: 50 },
    })
    const run = startTraining(config, { ...memoryRuntime(), share: shareRun }, { out: join(runs, 'live') })
    onTestFinished(async () => run[Symbol.asyncDispose]())
    for await (const event of run) if (event.type === 'step') break
    const server = await serve(runs, { control: true, processes: controlledProcesses })
    const { id } = (await listOf(server)).runs.find(({ directory }) => directory.endsWith('live'))!
    const follower = await follow(server, [id])
    const send = async (command: object): Promise<{ command: string; step: number }> => {
      const init = {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(command),
      }
      return (await (await server.get(`/api/runs/${id}/commands`, init)).json()) as never
    }
    const tookEffect = (type: string) => (one: Follower) =>
      one.updates.some(({ moments }) =>
        moments?.some((moment: RunEvent) => moment.type === 'command' && moment.command === type),
      )
    const paused = await send({ type: 'pause' })
    await follower.until(tookEffect('pause'))
    await follower.until((one) => one.last('row')?.state === 'paused')
    expect(await send({ type: 'setLearningRate', value: 5e-5 })).toEqual({
      command: 'setLearningRate',
      step: paused.step,
    })
    expect((await send({ type: 'checkpoint' })).step).toBe(paused.step)
    await send({ type: 'unpause' })
    const stopped = await send({ type: 'stop' })
    await follower.until((one) => one.last('row')?.state === 'stopped')
    expect(await run.result).toMatchObject({
      outcome: 'stopped',
      reason: 'freetumor studio',
      step: stopped.step,
    })
  })
})

describe('the address', () => {
  const options = { folders: [], pageFolder: '/', processes: NOBODY }
  it.each([
    ['another interface without TLS', { host: '192.0.2.1' }, /not encrypted/],
    ['every interface', { host: '0.0.0.0', tls: { cert: '', key: '' } }, /no name of this machine/],
    ['a folder that does not exist', { folders: ['/nowhere'] }, /nowhere: folder not found/],
  ])('is refused: %s', async (_, given, message) => {
    await expect(openStudio({ ...options, ...given })).rejects.toThrow(message)
  })

  it('is that of the proxy, whose Host and Origin are accepted', async () => {
    const server = await serve(temporaryFolder(), { proxyOrigin: 'https://lab.example' })
    expect(server.url.origin).toBe('https://lab.example')
  })

  it('is refused if the port is in use', async () => {
    const { url } = await serve(temporaryFolder())
    await expect(openStudio({ ...options, port: Number(url.port) })).rejects.toThrow(
      `port ${url.port}: in use`,
    )
  })
})
