import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { endFamily, familyOf } from '../../src/runtime/process.js'
import { packageRoot } from '../../src/runtime/python.js'
import type { RunEvent } from '../../src/training/events.js'
import { builtMain, runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { twoNetworks } from '../helpers/two-networks.js'
import { until } from '../helpers/until.js'

const CUT_SECONDS = 20
const STEPS = 60
const INTERVAL = 10

/** A small training; two items a step, whoever has them. */
function trainArgv(folder: string, processes: number): string[] {
  return [
    'train',
    '--output',
    'ndjson',
    '--config',
    join(packageRoot, 'configs/debug-baseline.yaml'),
    '--set',
    `training.steps=${STEPS}`,
    `training.checkpointEverySteps=${INTERVAL}`,
    'sampling.patchVoxels=[24,24,24]',
    'sampling.cropsPerVolume=1',
    `runtime.processesPerNode=${processes}`,
    'runtime.restarts.backoffSeconds=0.5',
    'data.phantoms.sizeVoxels=48',
    'data.phantoms.labelledCases=3',
    // prepared once: that hosts prepare alike is of other tests
    `data.root=${join(folder, 'data')}`,
    `prepare.cache=${join(folder, 'cache')}`,
  ]
}

interface Host {
  readonly events: RunEvent[]
  readonly ended: Promise<number | null>
  readonly said: () => string
  /** Every process of the host, at once. */
  kill(): Promise<void>
}

function startHost(command: readonly string[], cwd: string): Host {
  mkdirSync(cwd, { recursive: true })
  const child = spawn(command[0]!, command.slice(1), {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
  const events: RunEvent[] = []
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  createInterface({ input: child.stdout }).on('line', (line) => events.push(JSON.parse(line) as RunEvent))
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    for (const event of events) if (event.type === 'started') await endFamily(event.run)
  }
  onTestFinished(kill)
  return { events, ended, said: () => said, kill }
}

const lossesOf = (events: readonly RunEvent[]): unknown[] =>
  events.flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))

function logged(run: string): RunEvent[] {
  const lines = readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as RunEvent)
}

// three starts of PyTorch one after the other
it('two nodes train as one does, although one is killed and loses its network', {
  timeout: 900_000,
}, async () => {
  const folder = temporaryFolder()
  const whole = await runCli([...trainArgv(folder, 2), '--out', 'whole'], { cwd: folder })
  expect(whole).toMatchObject({ code: 0 })

  const { rendezvous, inside, cable } = await twoNetworks()
  const start = (node: number, how: string): Host => {
    const place = ['--nodes', '2', '--node-rank', String(node), '--rendezvous', rendezvous]
    const argv = [builtMain, ...trainArgv(folder, 1), ...place, how, 'run']
    return startHost([...inside(node), process.execPath, ...argv], join(folder, `host-${node}`))
  }
  const first = start(0, '--out')
  let second = start(1, '--out')
  const newest = (): number =>
    Math.max(-1, ...first.events.map((one) => (one.type === 'step' ? one.step : -1)))
  // a host that ends early must not be waited for
  const reached = (step: number): Promise<unknown> =>
    Promise.race([until(() => newest() >= step), first.ended])

  await reached(INTERVAL + 2)
  await second.kill()
  second = start(1, '--resume')
  await reached(2 * INTERVAL + 1)
  if (cable === null) console.warn('no network namespaces here: a host was not cut off')
  else {
    cable.cut()
    await setTimeout(CUT_SECONDS * 1000)
    expect(newest()).toBeLessThan(STEPS - 1)
    cable.join()
  }
  const codes = await Promise.all([first.ended, second.ended])
  expect({ codes, said: codes.some((code) => code !== 0) ? [first.said(), second.said()] : [] }).toEqual({
    codes: [0, 0],
    said: [],
  })
  const events = logged(join(folder, 'host-0', 'run'))
  expect(lossesOf(events)).toEqual(lossesOf(logged(join(folder, 'whole'))))
  const restarts = events.flatMap((one) => (one.type === 'restart' ? [one] : []))
  expect(restarts.length).toBeGreaterThanOrEqual(1)
  for (const { step, diedAt } of restarts) expect(diedAt - step).toBeLessThanOrEqual(INTERVAL)
  const runs = [...first.events, ...second.events].flatMap((one) => (one.type === 'started' ? [one.run] : []))
  for (const run of new Set(runs)) expect(await familyOf(run)).toEqual([])
})
