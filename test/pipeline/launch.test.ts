import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { RuntimeCrashError } from '../../src/errors.js'
import { startLaunch } from '../../src/pipeline/launch.js'
import type { ScriptRunner, ScriptSpec } from '../../src/pipeline/script-port.js'
import type { FailureCard } from '../../src/training/failure.js'
import { type LaunchEvent, type LaunchOptions, missOldOutput } from '../../src/training/launch.js'
import { temporaryFolder } from '../helpers/temporary.js'

const card = { kind: 'exception', rank: 1, message: 'rank 1: ValueError: bad' } as FailureCard

/** Attempts that end as the list says: well, badly, or only when they are stopped. */
function pretend(...ends: ('well' | 'badly' | 'stopped')[]): ScriptRunner & { readonly specs: ScriptSpec[] } {
  const specs: ScriptSpec[] = []
  return {
    specs,
    lock: async () => ({ enforced: true, [Symbol.asyncDispose]: async () => {} }),
    start: async (spec) => {
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

it('tells what happens and leaves how it ended', async () => {
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

it('is not begun again after a failure unless it is told so', async () => {
  const settings = options()
  const runner = pretend('badly', 'well')
  const run = startLaunch(settings, runner)
  await expect(run.result).rejects.toThrow('rank 1: ValueError: bad')
  await expect(typesOf(run)).rejects.toThrow('rank 1: ValueError: bad')
  expect(runner.specs).toHaveLength(1)
  expect(read(settings.out, 'failure.json')).toEqual(card)
  expect(read(settings.out, 'exit.json')).toMatchObject({ outcome: 'failed', exitCode: 5 })
})

it('is begun again as often as it is told, with a rest that doubles', async () => {
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
  ['the script .*nowhere.py does not exist', { script: '/nowhere.py' }],
  ['processesPerNode: a whole number of at least 1', { processesPerNode: 0 }],
  ['node rank 2 is not one of 2 nodes', { nodes: 2, nodeRank: 2, rendezvous: 'a:1' }],
  ['2 nodes need a place to meet', { nodes: 2 }],
  ['rendezvous: HOST:PORT was expected, got 10.0.0.1', { nodes: 2, rendezvous: '10.0.0.1' }],
  ['heartbeat file is of no use', { heartbeat: 'beat' }],
])('refuses what cannot be: %s', async (message, wrong) => {
  const run = startLaunch(options(wrong), pretend('well'))
  await expect(run.result).rejects.toThrow(new RegExp(message))
})

it('refuses a folder that holds a launch', async () => {
  const settings = options()
  await startLaunch(settings, pretend('well')).result
  await expect(startLaunch(settings, pretend('well')).result).rejects.toThrow('already holds a launch')
})

it('lets a slow reader miss lines of output, and says how many', () => {
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
