#!/usr/bin/env node
/**
 * Check a training on two nodes when one of them is killed and started again, or disconnected for a while. The nodes
 * are two network namespaces with a cable between them (root, iproute2). With --loopback they are two process families
 * on one network, which can be killed but not disconnected.
 *
 *     npm run build && node scripts/faults/hosts.mjs [--kills 3] [--cuts 3] [--cut-seconds 20] [--seed 0] [--loopback]
 *
 * A killed node first loses its cable, so that the other one gets no notice of its end, and returns after three
 * seconds. Prints JSON; exit code 1 when a step beyond the last checkpoint was lost, or a loss differs from those of
 * one node with two ranks.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const cli = join(root, 'dist/cli/main.js')
const config = join(root, 'configs/debug-baseline.yaml')
const INTERVAL = 10
const BACK_AFTER_MS = 3000

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '3' },
    cuts: { type: 'string', default: '3' },
    'cut-seconds': { type: 'string', default: '20' },
    seed: { type: 'string', default: '0' },
    loopback: { type: 'boolean', default: false },
  },
})
const strikes = [
  ...Array.from({ length: Number(values.kills) }, (_, at) => ({ kind: 'kill', node: at % 2 === 0 ? 1 : 0 })),
  ...Array.from({ length: values.loopback ? 0 : Number(values.cuts) }, () => ({ kind: 'cut', node: 1 })),
]
const steps = (strikes.length + 1) * 2 * INTERVAL
let newestStep = -1
const listeners = []
let drawn = 0
/** Return random numbers in [0, 1) of this seed. */
const random = () =>
  createHash('sha256').update(`${values.seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32
strikes.forEach((strike, at) => {
  strike.step = INTERVAL + at * 2 * INTERVAL + Math.floor(random() * INTERVAL)
})

const folder = mkdtempSync(join(tmpdir(), 'freetumor-hosts-'))
const network = values.loopback ? await loopback() : namespaces()
const hosts = [0, 1].map((node) => ({
  node,
  cwd: join(folder, `host-${node}`),
  child: null,
  runs: new Set(),
}))
const started = performance.now()
try {
  await oneHost()
  const report = await twoHosts()
  console.log(JSON.stringify(report, null, 2))
  process.exitCode = report.held ? 0 : 1
} finally {
  for (const host of hosts) killHost(host)
  network.remove()
  rmSync(folder, { recursive: true, force: true })
}

/** Make the uninterrupted run for the comparison; the nodes use its data and prepared cases, too. */
async function oneHost() {
  const argv = [
    cli,
    'train',
    '--config',
    config,
    '--out',
    'whole',
    '--set',
    ...settings(2),
    '--output',
    'json',
  ]
  const child = spawn(process.execPath, argv, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: environment(),
  })
  const [code] = await new Promise((resolve) => child.once('close', (...how) => resolve(how)))
  if (code !== 0) throw new Error('the uninterrupted run failed')
  console.error(`one host: ${seconds()} s`)
}

async function twoHosts() {
  for (const host of hosts) {
    mkdirSync(host.cwd, { recursive: true })
    startHost(host, false)
  }
  const rows = []
  for (const strike of strikes) {
    await progress(strike.step)
    const before = newestStep
    const at = performance.now()
    const host = hosts[strike.node]
    if (strike.kind === 'cut') {
      network.cut()
      await wait(Number(values['cut-seconds']) * 1000)
      network.join()
    } else {
      network.cut()
      killHost(host)
      await wait(BACK_AFTER_MS)
      network.join()
      startHost(host, true)
    }
    const first = await nextStep()
    const row = { ...strike, newestStep: before, wentOnAt: first, redone: Math.max(0, before + 1 - first) }
    await progress(before + 1)
    rows.push({ ...row, seconds: Math.round((performance.now() - at) / 100) / 10 })
    console.error(JSON.stringify(rows.at(-1)))
  }
  const codes = await Promise.all(hosts.map((host) => host.ended))
  await wait(1000)
  const left = hosts.flatMap((host) => familyOf(host)).length
  const [one, two] = [join(folder, 'whole'), join(hosts[0].cwd, 'run')].map((run) => lossesOf(run))
  const held = {
    everyStrikeSurvived: rows.length === strikes.length && codes.every((code) => code === 0),
    noStepLostBeyondTheLastCheckpoint: rows.every(({ redone }) => redone <= INTERVAL),
    lossesOfOneHost: two.length === steps && JSON.stringify(one) === JSON.stringify(two),
    nothingLeft: left === 0,
  }
  return {
    seed: values.seed,
    machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
    network: network.kind,
    steps,
    rows,
    ...held,
    seconds: seconds(),
    held: Object.values(held).every(Boolean),
  }
}

// --- reports of node 0 --------------------------------------------------------------------------------------------------
function tell(step) {
  newestStep = Math.max(newestStep, step)
  for (const listener of listeners.splice(0)) listener(step)
}
/** Wait for the next step that node 0 reports. */
async function nextStep() {
  return await new Promise((resolve) => listeners.push(resolve))
}
async function progress(step) {
  while (newestStep < step) await nextStep()
}

// --- nodes -------------------------------------------------------------------------------------------------------------
function startHost(host, again) {
  const how = again ? ['--resume', 'run'] : ['--out', 'run']
  const place = ['--nodes', '2', '--node-rank', String(host.node), '--rendezvous', network.rendezvous]
  const argv = [
    cli,
    'train',
    '--config',
    config,
    ...how,
    ...place,
    '--set',
    ...settings(1),
    '--output',
    'ndjson',
  ]
  const [command, ...rest] = [...network.inside(host.node), process.execPath, ...argv]
  const child = spawn(command, rest, { cwd: host.cwd, stdio: ['ignore', 'pipe', 'pipe'], env: environment() })
  host.child = child
  createInterface({ input: child.stderr }).on('line', (line) => console.error(`node ${host.node}: ${line}`))
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line)
    if (event.type === 'started') host.runs.add(event.run)
    if (event.type === 'step' && host.node === 0) tell(event.step)
  })
  host.ended = new Promise((resolve) => child.once('close', resolve))
}

/** Kill every process of a node, at once. */
function killHost(host) {
  if (host.child !== null)
    for (const pid of [host.child.pid, ...network.pids(host.node), ...familyOf(host)]) kill(pid)
}

function familyOf(host) {
  const found = []
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const of = readFileSync(`/proc/${name}/environ`, 'utf8').split('\0')
      if ([...host.runs].some((run) => of.includes(`FREETUMOR_RUN_ID=${run}`))) found.push(Number(name))
    } catch {
      // gone in the meantime
    }
  }
  return found
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone in the meantime
  }
}

function settings(processes) {
  return [
    `training.steps=${steps}`,
    `training.checkpointEverySteps=${INTERVAL}`,
    'sampling.itemsPerStep=2',
    'sampling.cropsPerVolume=1',
    'sampling.patchVoxels=[24,24,24]',
    'data.phantoms.sizeVoxels=48',
    `runtime.processesPerNode=${processes}`,
    'runtime.restarts.backoffSeconds=1',
    `data.root=${join(folder, 'data')}`,
    `prepare.cache=${join(folder, 'cache')}`,
  ]
}

function environment() {
  return { ...process.env, FREETUMOR_PYTHON: python, OMP_NUM_THREADS: '1' }
}

// --- networks ----------------------------------------------------------------------------------------------------------
async function loopback() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  server.close()
  return {
    kind: 'loopback',
    rendezvous: `127.0.0.1:${port}`,
    inside: () => [],
    pids: () => [],
    cut: () => {},
    join: () => {},
    remove: () => {},
  }
}

function namespaces() {
  const names = [0, 1].map((node) => `ft${process.pid}n${node}`)
  const ip = (...argv) => {
    const { status, stderr, stdout } = spawnSync('ip', argv, { encoding: 'utf8' })
    if (status !== 0)
      throw new Error(`ip ${argv.join(' ')}: ${stderr}(root and iproute2 are needed, or --loopback)`)
    return stdout
  }
  for (const name of names) ip('netns', 'add', name)
  ip('link', 'add', 'cable0', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'cable1', 'netns', names[1])
  names.forEach((name, node) => {
    ip('-n', name, 'link', 'set', 'lo', 'up')
    ip('-n', name, 'addr', 'add', `10.213.7.${node + 1}/24`, 'dev', `cable${node}`)
    ip('-n', name, 'link', 'set', `cable${node}`, 'up')
  })
  return {
    kind: 'network namespaces',
    rendezvous: '10.213.7.1:29511',
    inside: (node) => ['ip', 'netns', 'exec', names[node]],
    pids: (node) => ip('netns', 'pids', names[node]).trim().split(/\s+/).filter(Boolean).map(Number),
    cut: () => ip('-n', names[1], 'link', 'set', 'cable1', 'down'),
    join: () => ip('-n', names[1], 'link', 'set', 'cable1', 'up'),
    remove: () => {
      for (const name of names) spawnSync('ip', ['netns', 'del', name])
    },
  }
}

/** Return the losses by step; their JSON text is equal only for bit-identical values. */
function lossesOf(run) {
  if (!existsSync(join(run, 'events.jsonl'))) return []
  const lines = readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n')
  return lines
    .map((line) => JSON.parse(line))
    .flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))
}

function seconds() {
  return Math.round((performance.now() - started) / 1000)
}
