#!/usr/bin/env node
/**
 * What becomes of a training whose processes are killed or told to stop, at random steps: whether it goes on as the unbroken
 * one, how long it takes to end, and who outlives it.
 *
 *     npm run build && node scripts/faults/deaths.mjs [ranks|launcher|node|stops ...] [--kills 10] [--stops 20] [--seed 0]
 *
 * Prints JSON; exit 1 when something was lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const cli = join(root, 'dist/cli/main.js')
const config = join(root, 'configs/debug-baseline.yaml')
const INTERVAL = 20
const CAMPAIGNS = { ranks, launcher, node, stops }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '10' },
    stops: { type: 'string', default: '20' },
    steps: { type: 'string', default: '200' },
    seed: { type: 'string', default: '0' },
  },
})
const steps = Number(values.steps)
let drawn = 0
/** Numbers in [0, 1) that the seed decides. */
const random = () =>
  createHash('sha256').update(`${values.seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32

const report = {
  seed: values.seed,
  machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
}
const data = mkdtempSync(join(tmpdir(), 'freetumor-deaths-'))
try {
  for (const name of positionals.length > 0 ? positionals : Object.keys(CAMPAIGNS)) {
    const started = performance.now()
    report[name] = await CAMPAIGNS[name](join(data, name))
    report[name].seconds = Math.round((performance.now() - started) / 1000)
    console.error(`${name}: ${report[name].held ? 'held' : 'FAILED'} after ${report[name].seconds} s`)
  }
} finally {
  rmSync(data, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))
process.exitCode = Object.values(report).every((part) => part.held !== false) ? 0 : 1

/** kill -9 of a rank, again and again within one run; the supervisor goes on each time. */
async function ranks(folder) {
  const rows = []
  for (const size of [2, 3]) {
    const settings = settingsOf(size)
    const whole = await train(folder, `whole-${size}`, settings)
    const kills = size === 2 ? Number(values.kills) : Math.ceil(Number(values.kills) / 3)
    const at = randomSteps(kills)
    const broken = await train(folder, `broken-${size}`, settings, {
      onStep: (step, run) => {
        if (at.length === 0 || step < at[0]) return
        at.shift()
        const rank = Math.floor(random() * size)
        for (const pid of family(run, `RANK=${rank}`)) kill(pid, 'SIGKILL')
      },
    })
    rows.push({
      ranks: size,
      kills,
      ...compared(folder, `whole-${size}`, `broken-${size}`),
      exitCode: broken.code,
      left: broken.left,
    })
    if (whole.code !== 0) throw new Error('the unbroken run failed')
  }
  const control = await train(folder, 'control', [...settingsOf(2), 'runtime.restarts.max=0'], {
    onStep: (step, run) => {
      if (step === 5) for (const pid of family(run, 'RANK=1')) kill(pid, 'SIGKILL')
    },
  })
  const other = await train(folder, 'other', [...settingsOf(2), 'seed=99'])
  const controls = {
    withoutRestartsItFails: control.code === 5,
    anotherSeedDiffers: other.code === 0 && !compared(folder, 'whole-2', 'other').losses,
  }
  return {
    rows,
    controls,
    held:
      rows.every(
        (row) =>
          row.exitCode === 0 &&
          row.losses &&
          row.weights &&
          row.restarts === row.kills &&
          row.mostStepsRedone <= INTERVAL &&
          row.left === 0,
      ) && Object.values(controls).every(Boolean),
  }
}

/** kill -9 of torchrun itself: the supervisor goes on. */
async function launcher(folder) {
  return await killedAndResumed(folder, 5, async (run) => {
    for (const pid of family(run, null, 'torch.distributed.run')) kill(pid, 'SIGKILL')
  })
}

/** kill -9 of the Node process: `train --resume` goes on. */
async function node(folder) {
  return await killedAndResumed(folder, 5, async (_run, child) => child.kill('SIGKILL'))
}

async function killedAndResumed(folder, times, strike) {
  const settings = settingsOf(2)
  await train(folder, 'whole', settings)
  const rows = []
  for (let time = 0; time < times; time++) {
    const name = `broken-${time}`
    const [at] = randomSteps(1)
    let struck = false
    const first = await train(folder, name, settings, {
      onStep: async (step, run, child) => {
        if (struck || step < at) return
        struck = true
        await strike(run, child)
      },
    })
    const resumed = first.code === 0 ? first : await train(folder, name, null)
    rows.push({
      at,
      code: first.code,
      signal: first.signal,
      ...compared(folder, 'whole', name),
      resumed: resumed.code,
      left: first.left + resumed.left,
    })
  }
  return {
    rows,
    held: rows.every(
      (row) =>
        row.resumed === 0 && row.losses && row.weights && row.mostStepsRedone <= INTERVAL && row.left === 0,
    ),
  }
}

/** SIGTERM to Node, to torchrun or to a rank, at random moments: the last step is saved, exit 75 within 5 s. */
async function stops(folder) {
  const rows = []
  for (let time = 0; time < Number(values.stops); time++) {
    const whom = ['node', 'torchrun', 'rank'][time % 3]
    const at = 2 + Math.floor(random() * 30)
    let told = 0
    let last = -1
    const done = await train(folder, `stop-${time}`, settingsOf(2), {
      onStep: async (step, run, child) => {
        last = step
        if (told > 0 || step < at) return
        told = performance.now()
        await wait(random() * 100)
        told = performance.now()
        if (whom === 'node') child.kill('SIGTERM')
        else if (whom === 'torchrun')
          for (const pid of family(run, null, 'torch.distributed.run')) kill(pid, 'SIGTERM')
        else
          for (const pid of family(run, `RANK=${Math.floor(random() * 2)}`).slice(0, 1)) kill(pid, 'SIGTERM')
      },
    })
    const run = join(folder, `stop-${time}`)
    const exit = JSON.parse(readFileSync(join(run, 'exit.json'), 'utf8'))
    const saved = readFileSync(join(run, 'checkpoints/latest'), 'utf8').trim()
    rows.push({
      whom,
      code: done.code,
      seconds: Number(((done.endedAt - told) / 1000).toFixed(2)),
      lastStepSaved: Number(saved.slice(-8)) === last + 1 && exit.step === last + 1,
      left: done.left,
    })
  }
  return {
    rows,
    slowest: Math.max(...rows.map(({ seconds }) => seconds)),
    held: rows.every(
      ({ code, seconds, lastStepSaved, left }) => code === 75 && seconds <= 5 && lastStepSaved && left === 0,
    ),
  }
}

function settingsOf(size) {
  return [
    `training.steps=${steps}`,
    `training.checkpointEverySteps=${INTERVAL}`,
    'sampling.itemsPerStep=6',
    `runtime.processesPerNode=${size}`,
    'runtime.restarts.backoffSeconds=0',
  ]
}

/** Distinct steps in order, none in the last tenth. */
function randomSteps(count) {
  const chosen = new Set()
  while (chosen.size < count) chosen.add(3 + Math.floor(random() * steps * 0.9))
  return [...chosen].sort((a, b) => a - b)
}

/** Runs the command line; `onStep` is told of every step, and of the run's directory and process. */
async function train(folder, name, settings, { onStep = () => {} } = {}) {
  const run = join(folder, name)
  const how = settings === null ? ['--resume', run] : ['--config', config, '--out', run, '--set', ...settings]
  const child = spawn(process.execPath, [cli, 'train', ...how, '--output', 'ndjson'], {
    cwd: data,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FREETUMOR_PYTHON: python },
  })
  let id = null
  createInterface({ input: child.stderr }).on('line', () => {})
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line)
    if (event.type === 'started') id = event.run
    if (event.type === 'step') onStep(event.step, event.run ?? id, child)
  })
  const [code, signal] = await new Promise((resolve) => child.once('close', (...how_) => resolve(how_)))
  const endedAt = performance.now()
  await wait(2000)
  const left = id === null ? 0 : family(id).length
  const sockets = existsSync(join(run, 'control.json')) && signal === null ? 1 : 0
  return { code, signal, endedAt, left: left + sockets }
}

/** Living processes of a run, by their environment. */
function family(run, having = null, command = null) {
  const found = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
      if (!environment.includes(`FREETUMOR_RUN_ID=${run}`)) continue
      if (having !== null && !environment.includes(having)) continue
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      if (
        command !== null &&
        !(line.includes(command) && !environment.some((one) => one.startsWith('RANK=')))
      )
        continue
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) continue
      found.push(Number(pid))
    } catch {
      // gone in the meantime
    }
  }
  return found
}

function kill(pid, signal) {
  try {
    process.kill(pid, signal)
  } catch {
    // gone in the meantime
  }
}

/** Every loss of two runs, bit by bit, and their final weights. */
function compared(folder, one, other) {
  const [a, b] = [eventsOf(join(folder, one)), eventsOf(join(folder, other))]
  const restarts = b.filter(({ type }) => type === 'restart')
  const redone = restarts.map(({ diedAt, step }) => diedAt - step)
  return {
    steps: lossesOf(b).length,
    restarts: restarts.length,
    mostStepsRedone: Math.max(0, ...redone),
    losses: JSON.stringify(lossesOf(a)) === JSON.stringify(lossesOf(b)),
    weights: weightsOf(join(folder, one)) === weightsOf(join(folder, other)),
  }
}

function eventsOf(run) {
  const lines = readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line))
}

/** Numbers as JSON writes them are exact to the last bit. */
function lossesOf(events) {
  return events.flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))
}

function weightsOf(run) {
  const script =
    'import sys, torch, hashlib; w = torch.load(sys.argv[1], weights_only=True)["state_dict"]; ' +
    'print(hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in sorted(w.items()))).hexdigest())'
  const name = readFileSync(join(run, 'checkpoints/latest'), 'utf8').trim()
  return spawnSync(python, ['-c', script, join(run, 'checkpoints', name, 'model.pt')], {
    encoding: 'utf8',
  }).stdout.trim()
}
