import { getEventListeners } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FailureCard } from '../../../src/errors.js'
import { EnvironmentError, FreetumorError, RuntimeCrashError } from '../../../src/errors.js'
import { startLaunch } from '../../../src/pipeline/launch/run.js'
import type { ScriptRunner, ScriptSpec } from '../../../src/pipeline/ports/script.js'
import { inMemoryRuntime } from '../../../src/runtime/in-memory.js'
import { scriptRunner } from '../../../src/runtime/script.js'
import { type LaunchEvent, type LaunchOptions, missOldOutput } from '../../../src/training/launch.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const card = { kind: 'exception', rank: 1, message: 'rank 1: ValueError: bad' } as FailureCard

const nothing = { [Symbol.asyncDispose]: async () => {} }
const dead = (): Promise<never> =>
  Promise.reject(new RuntimeCrashError('no module torch', { facts: { card } }))

/** Attempts that end as the list says: well, badly, or only when they are stopped. */
function pretend(...ends: ('well' | 'badly' | 'stopped')[]): ScriptRunner & { readonly specs: ScriptSpec[] } {
  const specs: ScriptSpec[] = []
  return {
    specs,
    lock: inMemoryRuntime().lock,
    hasBegun: scriptRunner.hasBegun,
    start: async (spec) => {
      writeRankLog(spec.logDirectory)
      specs.push(spec)
      const how = ends[spec.attempt]!
      let stop = (): void => {}
      const stopped = new Promise<never>((_, reject) => {
        stop = () => reject(new RuntimeCrashError('killed', { facts: { card } }))
      })
      const failed = (): Promise<never> =>
        Promise.reject(new RuntimeCrashError(card.message, { facts: { card } }))
      spec.onOutput(0, `attempt ${spec.attempt}`)
      return {
        pid: 1,
        ended: how === 'well' ? Promise.resolve() : how === 'badly' ? failed() : stopped,
        stop: () => stop(),
      }
    },
  }
}

/** What a rank leaves when it begins to run its script. */
function writeRankLog(logDirectory: string): void {
  mkdirSync(join(logDirectory, 'node-0/rank-0'), { recursive: true })
  writeFileSync(join(logDirectory, 'node-0/rank-0/output.log'), '')
}

function options(more: Partial<LaunchOptions> = {}): LaunchOptions & { readonly out: string } {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'mine.py'), '')
  return { script: join(folder, 'mine.py'), ...more, out: join(folder, 'run') }
}

const read = (out: string, name: string): unknown => JSON.parse(readFileSync(join(out, name), 'utf8'))

async function typesOf(events: AsyncIterable<LaunchEvent>): Promise<string[]> {
  const seen: string[] = []
  for await (const event of events) seen.push(event.type)
  return seen
}

it('reports its events and records how it ended', async () => {
  const settings = options({ args: ['--epochs', '3'], processesPerNode: 2, environment: { SECRET: 'x' } })
  const run = startLaunch(settings, pretend('well'))
  expect(await typesOf(run)).toEqual(['output', 'started', 'finished'])
  expect(await run.result).toMatchObject({ outcome: 'completed', attempts: 1, directory: settings.out })
  expect(read(settings.out, 'exit.json')).toMatchObject({ outcome: 'completed', exitCode: 0 })
  expect(read(settings.out, 'launch.json')).toMatchObject({
    args: ['--epochs', '3'],
    environment: ['SECRET'],
  })
  expect(readFileSync(join(settings.out, 'events.jsonl'), 'utf8')).not.toContain('output')
})

it('is not restarted after a failure unless configured', async () => {
  const settings = options()
  const runner = pretend('badly', 'well')
  const run = startLaunch(settings, runner)
  await expect(run.result).rejects.toThrow('rank 1: ValueError: bad')
  await expect(typesOf(run)).rejects.toThrow('rank 1: ValueError: bad')
  expect(runner.specs).toHaveLength(1)
  expect(read(settings.out, 'failure.json')).toEqual(card)
  expect(read(settings.out, 'exit.json')).toMatchObject({ outcome: 'failed', exitCode: 5 })
})

it('is restarted as often as configured, with a backoff that doubles', async () => {
  const settings = options({ restarts: { max: 2, backoffSeconds: 0.01 } })
  const run = startLaunch(settings, pretend('badly', 'badly', 'well'))
  const rests: number[] = []
  for await (const event of run) if (event.type === 'restart') rests.push(event.afterSeconds)
  expect(rests).toEqual([0.01, 0.02])
  expect(await run.result).toMatchObject({ outcome: 'completed', attempts: 3 })
  const spent = startLaunch(options({ restarts: { max: 1, backoffSeconds: 0 } }), pretend('badly', 'badly'))
  await expect(spent.result).rejects.toThrow('ValueError')
})

it('that is stopped is no failure and is not begun again', async () => {
  const controller = new AbortController()
  const settings = options({ restarts: { max: 9, backoffSeconds: 0 }, signal: controller.signal })
  const runner = pretend('stopped')
  const run = startLaunch(settings, runner)
  for await (const event of run) if (event.type === 'started') controller.abort('enough')
  expect(await run.result).toMatchObject({ outcome: 'stopped', reason: 'enough', attempts: 1 })
  expect(read(settings.out, 'exit.json')).toMatchObject({ outcome: 'stopped', exitCode: 75 })
  expect(existsSync(join(settings.out, 'failure.json'))).toBe(false)
})

it('is stopped while it rests between two attempts', async () => {
  const run = startLaunch(options({ restarts: { max: 9, backoffSeconds: 60 } }), pretend('badly'))
  for await (const event of run) if (event.type === 'restart') void run.stop()
  expect(await run.result).toMatchObject({ outcome: 'stopped', attempts: 1 })
})

it.each<[string, Partial<LaunchOptions>]>([
  ['nowhere.py: script not found', { script: '/nowhere.py' }],
  ['processesPerNode: not a positive number', { processesPerNode: 0 }],
  ['node rank 2 is not one of 2 nodes', { nodes: 2, nodeRank: 2, rendezvous: 'a:1' }],
  ['2 nodes need a rendezvous', { nodes: 2 }],
  [
    String.raw`rendezvous: malformed address \(expected HOST:PORT, found 10\.0\.0\.1\)`,
    { nodes: 2, rendezvous: '10.0.0.1' },
  ],
  ['heartbeat: has no effect without a limit', { heartbeat: 'beat' }],
])('refuses what cannot be: %s', async (message, wrong) => {
  const run = startLaunch(options(wrong), pretend('well'))
  await expect(run.result).rejects.toThrow(new RegExp(message))
})

it('refuses a folder that holds a launch', async () => {
  const settings = options()
  await startLaunch(settings, pretend('well')).result
  await expect(startLaunch(settings, pretend('well')).result).rejects.toThrow('already holds a launch')
})

describe('a launch whose script never began', () => {
  it.each<[string, Partial<ScriptRunner>]>([
    ['could not be started', { start: () => Promise.reject(new EnvironmentError('the disk is full')) }],
    ['was ended before its ranks ran it', { start: async () => ({ pid: 1, ended: dead(), stop: () => {} }) }],
  ])('%s: its directory takes the next one, whose records are its own', async (_, fault) => {
    const settings = options()
    const failed = startLaunch(settings, { ...pretend(), ...fault })
    await expect(failed.result).rejects.toBeInstanceOf(FreetumorError)
    expect(read(settings.out, 'exit.json')).toMatchObject({ outcome: 'failed' })
    const next = startLaunch(settings, pretend('well'))
    expect(await next.result).toMatchObject({ outcome: 'completed', attempts: 1 })
    expect(existsSync(join(settings.out, 'failure.json'))).toBe(false)
    const log = readFileSync(join(settings.out, 'events.jsonl'), 'utf8').trim().split('\n')
    expect(log.map((line) => (JSON.parse(line) as LaunchEvent).type)).toEqual(['started', 'finished'])
    await expect(startLaunch(settings, pretend('well')).result).rejects.toThrow('already holds a launch')
  })

  it('that cannot write its log of events leaves the directory usable', async () => {
    const settings = options()
    const inTheWay = join(settings.out, 'events.jsonl')
    mkdirSync(inTheWay, { recursive: true })
    await expect(startLaunch(settings, pretend('well')).result).rejects.toMatchObject({
      code: 'environment',
      message: expect.stringContaining(inTheWay),
    })
    rmSync(inTheWay, { recursive: true })
    expect(await startLaunch(settings, pretend('well')).result).toMatchObject({ outcome: 'completed' })
  })

  it('cannot be distinguished from a starting run if the file system has no locks', async () => {
    const settings = options()
    const unlocked = { ...pretend('well'), lock: async () => ({ enforced: false, ...nothing }) }
    mkdirSync(settings.out)
    writeFileSync(join(settings.out, 'launch.json'), '{}')
    await expect(startLaunch(settings, unlocked).result).rejects.toThrow('already holds a launch')
  })
})

it('starts once when two launches ask for one folder at the same moment', async () => {
  const settings = options()
  const runner = { ...pretend('well'), lock: scriptRunner.lock }
  const both = await Promise.allSettled([1, 2].map(() => startLaunch(settings, runner).result))
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  const refused = both.find((one) => one.status === 'rejected')!
  expect(refused.reason).toMatchObject({
    code: 'usage',
    message: expect.stringMatching(/is being written by process \d+ on host|already holds a launch/),
  })
  expect(runner.specs).toHaveLength(1)
})

it('lets a slow reader miss lines of output, and reports their number', () => {
  const unread: LaunchEvent[] = []
  const time = ''
  unread.push({ time, type: 'finished', outcome: 'completed', reason: '' })
  for (let at = 0; at < 5000; at++) {
    unread.push({ time, type: 'output', rank: 0, text: `${at}`, missed: 0 })
    missOldOutput(unread)
  }
  expect(unread).toHaveLength(4096)
  expect(unread[0]).toMatchObject({ type: 'finished' })
  expect(unread[1]).toMatchObject({ text: '905', missed: 905 })
})

it('shares one listener on a signal with other launches, and leaves none', async () => {
  const { signal } = new AbortController()
  const runs = Array.from({ length: 50 }, () => startLaunch(options({ signal }), pretend('well')))
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  await Promise.all(runs.map((run) => run.result))
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

it('answers several calls of next at once, in order', async () => {
  const events = startLaunch(options(), pretend('well'))[Symbol.asyncIterator]()
  const answers = await Promise.all(Array.from({ length: 4 }, () => events.next()))
  expect(answers.map(({ value }) => value?.type)).toEqual(['output', 'started', 'finished', undefined])
})
