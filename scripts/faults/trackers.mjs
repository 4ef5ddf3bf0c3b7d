#!/usr/bin/env node
/**
 * Kill a tracked training at random moments and compare the points of a real MLflow server with the events of the run.
 * Compare the time of trainings whose tracker is dead or never answers with that of trainings without one, and send the
 * points of a run without a server later.
 *
 *     npm run build && FREETUMOR_MLFLOW=/path/to/venv/bin/mlflow node scripts/faults/trackers.mjs [kills|slowdown|replay ...]
 *         [--kills 3] [--rounds 1] [--pairs 10] [--steps 60] [--seed 0]
 *
 * `kills` and `replay` need a program `mlflow` (pip install mlflow, in an environment of its own). The trainings of `kills`
 * and `replay` are real (debug-baseline); those of `slowdown` are in memory with a fixed time for each step. Prints JSON; exit
 * code 1 when a point was lost or doubled, a second run was created, or a dead tracker slowed a training by more than 1 %.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { figuresOf } from '../../dist/tracking/steps.js'
import { cli, randomOf, runCampaign } from './campaign.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const CAMPAIGNS = { kills, slowdown, replay }
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '1' },
    pairs: { type: 'string', default: '10' },
    steps: { type: 'string', default: '60' },
    seed: { type: 'string', default: '0' },
  },
})
const steps = Number(values.steps)
const random = randomOf(values.seed)
const mlflow = process.env.FREETUMOR_MLFLOW
const folder = mkdtempSync(join(tmpdir(), 'freetumor-trackers-'))

await runCampaign(folder, async () => {
  const names = positionals.length > 0 ? positionals : Object.keys(CAMPAIGNS)
  const report = { seed: values.seed, loadAverage: loadavg().map((load) => Number(load.toFixed(1))) }
  for (const name of names) {
    const place = join(folder, name)
    mkdirSync(place)
    report[name] = await CAMPAIGNS[name](place)
    console.error(`${name}: ${report[name].held ? 'held' : 'FAILED'}`)
  }
  return { ...report, held: names.every((name) => report[name].held) }
})

/** Kill the Node process of a training by SIGKILL, several times within one run; resume it each time. */
async function kills(place) {
  const server = await startMlflow(place)
  const rounds = []
  try {
    for (let round = 0; round < Number(values.rounds); round++) {
      const run = join(place, `run-${round}`)
      const experiment = `kills-${round}`
      const settings = [
        `tracking.mlflow=${server.url}`,
        `tracking.experiment=${experiment}`,
        `training.steps=${steps}`,
        'training.checkpointEverySteps=10',
        'training.validateEverySteps=20',
      ]
      const killedAt = []
      let resumed = ['--config', 'debug-baseline', '--out', run]
      for (let kill = 0; kill < Number(values.kills); kill++) {
        // a moment of the next part of the run: between two steps, or while a request is on its way
        const after = Math.floor(((kill + random()) * steps) / Number(values.kills))
        killedAt.push(await killedAfter(place, [...resumed, '--set', ...settings], run, after))
        resumed = ['--resume', run]
      }
      const code = await train(place, [...resumed, '--set', ...settings])
      rounds.push({ killedAt, exitCode: code, ...(await compared(server.url, experiment, run)) })
    }
  } finally {
    await server.stop()
  }
  const held = rounds.every(
    ({ exitCode, runs, lost, doubled, otherLosses, status }) =>
      exitCode === 0 &&
      runs === 1 &&
      lost === 0 &&
      doubled === 0 &&
      otherLosses === 0 &&
      status === 'FINISHED',
  )
  return { version: server.version, rounds, held }
}

/** Train without a server, then start it and send the points. */
async function replay(place) {
  const run = join(place, 'run')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const settings = [`tracking.mlflow=${url}`, 'tracking.experiment=replay', `training.steps=${steps}`]
  const code = await train(place, ['--config', 'debug-baseline', '--out', run, '--set', ...settings])
  const server = await startMlflow(place, port)
  try {
    const [first, second] = [await sync(run), await sync(run)]
    const points = await compared(url, 'replay', run)
    const held =
      code === 0 &&
      points.lost === 0 &&
      points.doubled === 0 &&
      first.values === points.expected &&
      second.values === 0
    return { exitCode: code, replayed: first.values, replayedAgain: second.values, ...points, held }
  } finally {
    await server.stop()
  }
}

/** Send what the tracker of a run lacks. Blocks no event: this process must see when the server closes a connection. */
async function sync(run) {
  const child = spawn(process.execPath, [cli, 'runs', 'sync', run, '--output', 'json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (text) => {
    said += text
  })
  await once(child, 'close')
  return JSON.parse(said).trackers[0]
}

/** Compare trainings with a tracker that is dead, or never answers, with trainings without one, in pairs. */
async function slowdown(place) {
  const silent = createServer(() => {})
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const addresses = {
    dead: `http://127.0.0.1:${await freePort()}`,
    silent: `http://127.0.0.1:${silent.address().port}`,
  }
  const result = {}
  try {
    for (const [name, url] of Object.entries(addresses)) {
      const pairs = []
      for (let pair = 0; pair < Number(values.pairs); pair++) {
        const seconds = {}
        for (const tracked of pair % 2 === 0 ? [false, true] : [true, false])
          seconds[tracked] = await timed(place, `${name}-${pair}-${tracked}`, tracked ? url : null)
        pairs.push(seconds)
      }
      const ratios = pairs.map(({ true: tracked, false: plain }) => tracked.steps / plain.steps)
      result[name] = {
        pairs: pairs.length,
        medianRatio: Number(median(ratios).toFixed(5)),
        ratios: ratios.map((ratio) => Number(ratio.toFixed(4))).sort((a, b) => a - b),
        processorSecondsAdded: Number(
          median(pairs.map(({ true: tracked, false: plain }) => tracked.processor - plain.processor)).toFixed(
            3,
          ),
        ),
        longestEndSeconds: Number(Math.max(...pairs.map((one) => one.true.end)).toFixed(2)),
        stepSeconds: Number(median(pairs.map((one) => one.false.steps)).toFixed(2)),
      }
    }
  } finally {
    silent.close()
  }
  return { ...result, held: Object.values(result).every(({ medianRatio }) => medianRatio <= 1.01) }
}

/** Run a training in memory with 20 ms for each step; return the time of its steps, of its end, and of the processor. */
async function timed(place, name, url) {
  const file = join(place, `${name}.yaml`)
  writeFileSync(file, memoryConfig(place, url))
  const data = join(place, 'cache')
  if (!existsSync(data)) spawnSync(process.execPath, [cli, 'prepare', '--config', file], { stdio: 'ignore' })
  const run = join(place, name)
  const argv = [join(here, 'memory_training.mjs'), file, 'out', run, '20']
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (text) => {
    said += text
  })
  child.stdin.write('go\n')
  await once(child, 'close')
  if (!said.includes('completed')) throw new Error(said)
  const events = eventsOf(run)
  const times = events.filter(({ type }) => type === 'step').map(({ time }) => Date.parse(time))
  const ended = Date.parse(events.find(({ type }) => type === 'finished').time)
  const [, end, processor] = /end (\S+) processor (\S+)/.exec(said)
  return {
    steps: (times.at(-1) - times[0]) / 1000,
    end: (Number(end) - ended) / 1000,
    processor: Number(processor),
  }
}

function memoryConfig(place, url) {
  return `job: baseline
name: trackers
region: abdomen
data:
  root: ${join(place, 'phantoms')}
  phantoms: { labelledCases: 2, validationCases: 1, hostCases: 1, testCases: 1, sizeVoxels: 32, seed: 1 }
  datasets: [{ name: phantom_labelled }]
prepare: { cache: ${join(place, 'cache')} }
sampling: { patchVoxels: [16, 16, 16], cropsPerVolume: 1, itemsPerStep: 1, mixing: false, workers: 0 }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: 400, learningRate: 0.01, warmupSteps: 1, checkpointEverySteps: 1000, validateEverySteps: 1000 }
runtime: { device: cpu }
tracking: { mlflow: ${url} }
`
}

/** Start a training, and kill it a random time after a step. Returns the step and the state of the tracker. */
async function killedAfter(cwd, argv, run, step) {
  const child = spawn(process.execPath, [cli, 'train', ...argv], { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  const ended = once(child, 'close')
  for (;;) {
    const reached = eventsOf(run).findLast(({ type }) => type === 'step')?.step ?? -1
    if (reached >= step) break
    if (child.exitCode !== null) throw new Error(`the training ended before step ${step}: ${said}`)
    await wait(20)
  }
  await wait(random() * 1500)
  child.kill('SIGKILL')
  await ended
  const last = eventsOf(run).findLast(({ type }) => type === 'step').step
  return { step: last, acknowledged: trackerOf(run)?.step ?? null }
}

async function train(cwd, argv) {
  const child = spawn(process.execPath, [cli, 'train', ...argv], {
    cwd,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = await once(child, 'close')
  return code
}

/** Compare all points of an experiment with the figures of the run's events. */
async function compared(url, experiment, run) {
  const call = async (path, body) => {
    const response = await fetch(`${url}/api/2.0/mlflow/${path}`, {
      method: body ? 'POST' : 'GET',
      // the server closes idle connections
      headers: { connection: 'close', 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return await response.json()
  }
  const { experiment: found } = await call(`experiments/get-by-name?experiment_name=${experiment}`)
  const { runs } = await call('runs/search', { experiment_ids: [found.experiment_id] })
  const expected = new Map()
  for (const event of eventsOf(run)) {
    const figures = figuresOf(event)
    for (const [name, value] of Object.entries(figures?.values ?? {}))
      expected.set(`${name}@${figures.step}`, value)
  }
  const received = new Map()
  for (const name of new Set([...expected.keys()].map((point) => point.split('@')[0])))
    for (const { info } of runs) {
      const query = new URLSearchParams({ run_id: info.run_id, metric_key: name, max_results: '25000' })
      const { metrics = [] } = await call(`metrics/get-history?${query}`)
      for (const { step, value } of metrics) {
        const point = `${name}@${step ?? 0}`
        received.set(point, [...(received.get(point) ?? []), value])
      }
    }
  const points = [...expected.keys()]
  // times and memory of repeated steps differ; their first values were sent
  const isLoss = (point) => /^(loss|validation|learningRate)/.test(point)
  return {
    runs: runs.length,
    status: runs[0].info.status,
    recordedRun: trackerOf(run).run === runs[0].info.run_id,
    expected: points.length,
    lost: points.filter((point) => !received.has(point)).length,
    doubled: [...received.values()].filter((found) => found.length > 1).length,
    beyond: [...received.keys()].filter((point) => !expected.has(point)).length,
    otherLosses: points.filter((point) => isLoss(point) && received.get(point)?.[0] !== expected.get(point))
      .length,
  }
}

function eventsOf(run) {
  const path = join(run, 'events.jsonl')
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
}

function trackerOf(run) {
  const path = join(run, 'tracking.json')
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).trackers.mlflow : undefined
}

/** Start an MLflow server with SQLite in a folder, on loopback. */
async function startMlflow(place, port) {
  if (!mlflow) throw new Error('FREETUMOR_MLFLOW is not set (expected the path of a program mlflow)')
  const listening = port ?? (await freePort())
  const argv = ['server', '--host', '127.0.0.1', '--port', String(listening), '--workers', '1']
  const store = ['--backend-store-uri', `sqlite:///${join(place, 'mlflow.db')}`]
  const artifacts = ['--artifacts-destination', join(place, 'artifacts')]
  const child = spawn(mlflow, [...argv, ...store, ...artifacts], {
    cwd: place,
    stdio: 'ignore',
    detached: true,
  })
  const ended = once(child, 'close')
  const url = `http://127.0.0.1:${listening}`
  // as in `compared`: no idle connection is kept
  const unkept = { headers: { connection: 'close' } }
  for (;;) {
    const ready = await fetch(`${url}/health`, unkept).catch(() => null)
    if (ready?.ok) break
    if (child.exitCode !== null) throw new Error('the MLflow server ended')
    await wait(200)
  }
  const version = await (await fetch(`${url}/version`, unkept)).text()
  const stop = async () => {
    // its workers are in its process group
    process.kill(-child.pid, 'SIGKILL')
    await ended
  }
  return { url, version, stop }
}

async function freePort() {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
