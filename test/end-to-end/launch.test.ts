import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished, vi } from 'vitest'
import { cardOf } from '../../src/errors.js'
import { startLaunch } from '../../src/pipeline/launch/run.js'
import { endFamily, familyOf } from '../../src/runtime/process.js'
import { packageRoot } from '../../src/runtime/python.js'
import { scriptRunner } from '../../src/runtime/script.js'
import type { Launch, LaunchOptions } from '../../src/training/launch.js'
import { startCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { loopbackHosts } from '../helpers/two-networks.js'
import { until } from '../helpers/until.js'

const script = (name: string): string => join(packageRoot, 'test/fixtures/scripts', name)

function launched(name: string, more: Partial<LaunchOptions> = {}): Launch {
  const run = startLaunch(
    { script: script(name), out: join(temporaryFolder(), 'run'), processesPerNode: 2, ...more },
    scriptRunner,
  )
  onTestFinished(() => endFamily(run.id))
  return run
}

/** The lines of the ranks. */
async function said(run: Launch): Promise<string[]> {
  const lines: string[] = []
  for await (const event of run) if (event.type === 'output') lines.push(`${event.rank}: ${event.text}`)
  return lines
}

it('the processes of a node listen on loopback only, and the ranks use a store that other users cannot reach', async () => {
  const run = launched('listeners.py')
  const lines = await said(run)
  await run.result
  const told = JSON.parse(lines.find((line) => line.startsWith('0: {'))!.slice(3)) as {
    listeners: string[]
    keys: number
  }
  // the agent's store, and gloo's of both ranks
  expect(told.listeners.length).toBeGreaterThanOrEqual(3)
  expect(told.listeners.filter((address) => address !== '127.0.0.1')).toEqual([])
  expect(told.keys).toBe(0)
})

it('a script that crashes on rank 1 is restarted, and its failure is that of rank 1', async () => {
  const run = launched('dies_on_rank_1.py', {
    args: ['1'],
    restarts: { max: 1, backoffSeconds: 0 },
  })
  expect(await said(run)).toEqual(expect.arrayContaining(['0: all ranks passed', '1: all ranks passed']))
  expect(await run.result).toMatchObject({ outcome: 'completed', attempts: 2 })
  const card = JSON.parse(readFileSync(join(run.directory, 'failure.json'), 'utf8')) as unknown
  expect(card).toMatchObject({
    kind: 'exception',
    rank: 1,
    message: 'rank 1: ValueError: no label for crop 7 in attempt 0',
    traceback: expect.stringContaining('dies_on_rank_1.py'),
  })
  expect(readFileSync(join(run.directory, 'logs/node-0/rank-1/output.log'), 'utf8')).toContain('ValueError')
})

it('a script that hangs is ended, after it has written where it stands, with all that it started', async () => {
  const run = launched('hangs.py', { hangSeconds: 2 })
  const lines: string[] = []
  const reading = (async () => {
    for await (const event of run) if (event.type === 'output') lines.push(event.text)
  })()
  // the events end before the lock is released, and the result after it
  reading.catch(() => {})
  const error = await run.result.catch((reason: unknown) => reason)
  await expect(reading).rejects.toBe(error)
  expect(cardOf(error)).toMatchObject({ kind: 'hang' })
  expect(lines.join('\n')).toContain('in forgets_to_send')
  expect(await familyOf(run.id)).toEqual([])
})

it('a heartbeat file keeps a silent script alive, until it is touched no more', async () => {
  const folder = temporaryFolder()
  const file = join(folder, 'silent.py')
  writeFileSync(
    file,
    'import os, pathlib, time\nfor _ in range(30): pathlib.Path(os.environ["FREETUMOR_HEARTBEAT"]).touch(); time.sleep(0.1)\n' +
      'pathlib.Path("beaten").touch()\ntime.sleep(1000)\n',
  )
  const run = launched(file, {
    script: file,
    processesPerNode: 1,
    cwd: folder,
    heartbeat: 'beat',
    hangSeconds: 1.5,
  })
  expect(cardOf(await run.result.catch((reason: unknown) => reason))).toMatchObject({ kind: 'hang' })
  // it lived through twice its limit in silence
  expect(existsSync(join(folder, 'beaten'))).toBe(true)
})

it('a stop is a signal that the script may answer; the launchers of others leave no trace in it', async () => {
  vi.stubEnv('MASTER_PORT', 'of another launcher')
  vi.stubEnv('PYTHONPATH', '/mine')
  onTestFinished(() => void vi.unstubAllEnvs())
  const run = launched('saves_when_told.py')
  const lines: string[] = []
  for await (const event of run) {
    if (event.type !== 'output') continue
    lines.push(event.text)
    if (lines.length === 2) void run.stop('enough')
  }
  const ready = 'ready with port of torchrun, path /mine'
  expect(lines.sort()).toEqual([ready, ready, 'saved', 'saved'])
  expect(await run.result).toMatchObject({ outcome: 'stopped', reason: 'enough' })
})

it('two hosts run one script together, ranks in the order of the hosts', async () => {
  const { rendezvous } = await loopbackHosts()
  const folder = temporaryFolder()
  const both = [0, 1].map((nodeRank) =>
    launched('trains.py', {
      args: [join(folder, 'weights.pt')],
      out: join(folder, `host-${nodeRank}`),
      processesPerNode: 1,
      nodes: 2,
      nodeRank,
      rendezvous,
    }),
  )
  const lines = await Promise.all(both.map(said))
  expect(lines[0]).toContain('0: rank 0 of 2 done')
  expect(lines[1]).toEqual(['1: rank 1 of 2 done'])
  expect(existsSync(join(folder, 'weights.pt'))).toBe(true)
})

it('nothing outlives a Node process that is killed, even in another session', async () => {
  const cwd = temporaryFolder()
  mkdirSync(join(cwd, 'out'))
  const { child, finished } = startCli(
    ['launch', '--processes', '2', '--out', 'out/run', '--', script('hangs.py')],
    // a killed process leaves its temporary files
    { cwd, env: { TMPDIR: cwd } },
  )
  const log = (rank: number): string => {
    const path = join(cwd, 'out/run/logs/node-0', `rank-${rank}`, 'output.log')
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  await until(() => [0, 1].every((rank) => log(rank).includes('begins')))
  const { run } = JSON.parse(readFileSync(join(cwd, 'out/run/launch.json'), 'utf8')) as { run: string }
  // torchrun, two ranks, and the helper that each put into a session of its own
  expect((await familyOf(run)).length).toBe(5)
  child.kill('SIGKILL')
  await finished
  await until(async () => (await familyOf(run)).length === 0)
})
