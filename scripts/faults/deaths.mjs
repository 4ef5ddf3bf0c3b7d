#!/usr/bin/env node
/**
 * Kill or stop processes of a training at random steps. Check that the resumed run is bit-identical to an uninterrupted
 * one, how long the end takes, and which processes outlive it.
 *
 *     npm run build && node scripts/faults/deaths.mjs [ranks|launcher|node|stops|leftovers ...]
 *         [--kills 10] [--stops 20] [--steps 200] [--seed 0]
 *
 * 2 s after every kill and every end it searches for processes of the run, listening sockets and control files. Each
 * campaign has controls that must fail. Prints JSON; exit code 1 when something was lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
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
const CAMPAIGNS = { ranks, launcher, node, stops, leftovers }

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
/** Return random numbers in [0, 1) of this seed. */
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
    report[name].loadAverage = loadavg().map((value) => Number(value.toFixed(1)))
    console.error(`${name}: ${report[name].held ? 'held' : 'FAILED'} after ${report[name].seconds} s`)
  }
} finally {
  rmSync(data, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))
process.exitCode = Object.values(report).every((part) => part.held !== false) ? 0 : 1

/** Kill a rank with kill -9 several times within one run; the supervisor restarts the ranks each time. */
async function ranks(folder) {
  const rows = []
  for (const size of [2, 3]) {
    const settings = settingsOf(size)
    const whole = await train(folder, `whole-${size}`, settings)
    const kills = Number(values.kills)
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
      left: [whole.left, broken.left],
    })
    if (whole.code !== 0) throw new Error('the uninterrupted run failed')
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
          row.left.every(isNothing),
      ) && Object.values(controls).every(Boolean),
  }
}

/** Kill torchrun itself with kill -9: the supervisor starts it again. */
async function launcher(folder) {
  const strike = async (run) => {
    for (const pid of family(run, null, 'single_node.py')) kill(pid, 'SIGKILL')
  }
  const done = await killedAndResumed(folder, 5, strike)
  const control = await train(folder, 'control', [...settingsOf(2), 'runtime.restarts.max=0'], {
    onStep: (step, run) => step === 5 && strike(run),
  })
  const controls = { withoutRestartsItFails: control.code === 5 }
  return { ...done, controls, held: done.held && controls.withoutRestartsItFails && isNothing(control.left) }
}

/** Kill the Node process with kill -9: `train --resume` resumes the run. */
async function node(folder) {
  const done = await killedAndResumed(folder, 5, async (_run, child) => child.kill('SIGKILL'))
  // the steps before the kill alone are another run: the comparison must detect that
  const control = await train(folder, 'control', settingsOf(2), {
    onStep: (step, _run, child) => step === 50 && child.kill('SIGKILL'),
  })
  const same = compared(folder, 'whole', 'control')
  const controls = { withoutGoingOnItDiffers: control.code !== 0 && !same.losses && !same.weights }
  return { ...done, controls, held: done.held && controls.withoutGoingOnItDiffers && isNothing(control.left) }
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
      left: [first.left, resumed.left],
    })
  }
  return {
    rows,
    held: rows.every(
      (row) =>
        row.resumed === 0 &&
        row.losses &&
        row.weights &&
        row.mostStepsRedone <= INTERVAL &&
        row.left.every(isNothing),
    ),
  }
}

/** Send SIGTERM to Node, to torchrun or to a rank, at random moments: the last step is saved, exit 75 within 5 s. */
async function stops(folder) {
  const rows = []
  for (let time = 0; time < Number(values.stops); time++)
    rows.push(await stopped(folder, `stop-${time}`, ['node', 'torchrun', 'rank'][time % 3], 'SIGTERM'))
  const kept = ({ code, seconds, lastStepSaved, left }) =>
    code === 75 && seconds <= 5 && lastStepSaved && isNothing(left)
  const control = await stopped(folder, 'control', 'node', 'SIGKILL')
  const controls = { byAKillNothingIsSaved: control.code !== 75 && !control.lastStepSaved }
  const seconds = rows.map((row) => row.seconds).sort((a, b) => a - b)
  return {
    rows,
    slowest: seconds.at(-1),
    median: seconds[Math.floor(seconds.length / 2)],
    controls,
    held: rows.every(kept) && !kept(control) && controls.byAKillNothingIsSaved,
  }
}

async function stopped(folder, name, whom, signal) {
  const at = 2 + Math.floor(random() * 30)
  let told = 0
  let last = -1
  const done = await train(folder, name, settingsOf(2), {
    onStep: async (step, run, child) => {
      last = step
      if (told > 0 || step < at) return
      told = performance.now()
      await wait(random() * 100)
      told = performance.now()
      if (whom === 'node') child.kill(signal)
      else if (whom === 'torchrun') for (const pid of family(run, null, 'single_node.py')) kill(pid, signal)
      else for (const pid of family(run, `RANK=${Math.floor(random() * 2)}`).slice(0, 1)) kill(pid, signal)
    },
  })
  const step = (path, read) => (existsSync(path) ? read(readFileSync(path, 'utf8').trim()) : null)
  const saved = step(join(folder, name, 'checkpoints/latest'), (text) => Number(text.slice(-8)))
  const exit = step(join(folder, name, 'exit.json'), (text) => JSON.parse(text).step)
  return {
    whom,
    code: done.code,
    seconds: Number(((done.endedAt - told) / 1000).toFixed(2)),
    load: Number(loadavg()[0].toFixed(1)),
    lastStepSaved: saved === last + 1 && exit === last + 1,
    left: done.left,
  }
}

/** Check that leftovers would be detected: a process with the mark of a run, and a socket in its folder. */
async function leftovers() {
  const run = `control-${process.pid}`
  const child = spawn('sleep', ['60'], { env: { ...process.env, FREETUMOR_RUN_ID: run } })
  const folder = mkdtempSync(join(tmpdir(), 'ft-'))
  const server = createServer().listen(join(folder, 'control.sock'))
  await wait(500)
  const seen = leftOf(run, [folder], null)
  child.kill()
  await new Promise((resolve) => server.close(resolve))
  rmSync(folder, { recursive: true, force: true })
  return { ...seen, held: seen.processes === 1 && seen.sockets === 1 }
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

/** Run the command line; `onStep` receives every step, and the run's directory and process. */
async function train(folder, name, settings, { onStep = () => {} } = {}) {
  const run = join(folder, name)
  const how = settings === null ? ['--resume', run] : ['--config', config, '--out', run, '--set', ...settings]
  const child = spawn(process.execPath, [cli, 'train', ...how, '--output', 'ndjson'], {
    cwd: data,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FREETUMOR_PYTHON: python },
  })
  let id = null
  const places = new Set()
  createInterface({ input: child.stderr }).on('line', () => {})
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line)
    if (event.type === 'started') {
      id = event.run
      for (const place of socketFolders(id, run)) places.add(place)
    }
    if (event.type === 'step') onStep(event.step, event.run ?? id, child)
  })
  const [code, signal] = await new Promise((resolve) => child.once('close', (...how_) => resolve(how_)))
  const endedAt = performance.now()
  await wait(2000)
  // a process that is killed cannot remove its control file: no process answers there, so it locks nothing
  return { code, signal, endedAt, left: leftOf(id, [...places], signal === null ? run : null) }
}

/** Return the folders of the sockets on which a run listens: for its ranks, and for other terminals. */
function socketFolders(id, run) {
  const folders = family(id, 'RANK=0').map(
    (pid) => /FREETUMOR_CONTROL=unix:([^\0]+)/.exec(readFileSync(`/proc/${pid}/environ`, 'utf8'))?.[1],
  )
  const control = join(run, 'control.json')
  if (existsSync(control))
    folders.push(JSON.parse(readFileSync(control, 'utf8')).address.replace('unix:', ''))
  return folders.filter(Boolean).map(dirname)
}

function leftOf(id, places, run) {
  const listening = readFileSync('/proc/net/unix', 'utf8').split('\n')
  return {
    processes: id === null ? 0 : family(id).length,
    sockets: listening.filter((line) => places.some((place) => line.includes(`${place}/`))).length,
    locks: run !== null && existsSync(join(run, 'control.json')) ? 1 : 0,
  }
}

function isNothing({ processes, sockets, locks }) {
  return processes + sockets + locks === 0
}

/** Return the living processes of a run, by their environment. */
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

/** Compare every loss of two runs, bit by bit, and their final weights. */
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

/** Return the losses by step; their JSON text is equal only for bit-identical values. */
function lossesOf(events) {
  return events.flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))
}

function weightsOf(run) {
  const script =
    'import sys, torch, hashlib; w = torch.load(sys.argv[1], weights_only=True)["state_dict"]; ' +
    'print(hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in sorted(w.items()))).hexdigest())'
  const latest = join(run, 'checkpoints/latest')
  if (!existsSync(latest)) return null
  const name = readFileSync(latest, 'utf8').trim()
  return spawnSync(python, ['-c', script, join(run, 'checkpoints', name, 'model.pt')], {
    encoding: 'utf8',
  }).stdout.trim()
}
