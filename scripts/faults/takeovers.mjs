#!/usr/bin/env node
/**
 * Run two trainings for one run directory, started at the same moment or after the first owner was killed, suspended or
 * separated from its lock: exactly one of them trains, and the other one writes nothing.
 *
 *     npm run build && node scripts/faults/takeovers.mjs [--starts 100] [--takeovers 50]
 *
 * The trainings are in memory, with the real lock and the real files; FREETUMOR_PYTHON prepares the cases once. Prints
 * JSON; exit code 1 when two trained, none did, or a superseded process changed a file.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const cli = join(here, '../../dist/cli/main.js')
const { values } = parseArgs({
  options: { starts: { type: 'string', default: '100' }, takeovers: { type: 'string', default: '50' } },
})
const STEPS = 12
const folder = mkdtempSync(join(tmpdir(), 'freetumor-takeovers-'))
const file = join(folder, 'config.yaml')

try {
  prepareInputs()
  const faults = []
  const starts = await tally(Number(values.starts), doubleStart, faults)
  const kinds = [killedOwner, suspendedOwner, cutOffOwner, lateOwner, doubleResume]
  const takeovers = {}
  for (const [at, kind] of kinds.entries()) {
    const count = Math.floor((Number(values.takeovers) + at) / kinds.length)
    takeovers[kind.name] = await tally(count, kind, faults)
  }
  console.log(JSON.stringify({ starts, takeovers, faults, loadAverage: loadavg() }, null, 2))
  process.exitCode = faults.length === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function tally(count, trial, faults) {
  const seconds = []
  let held = 0
  for (let at = 0; at < count; at++) {
    const run = join(folder, `${trial.name}-${at}`)
    const started = performance.now()
    const fault = await trial(run)
    seconds.push((performance.now() - started) / 1000)
    if (fault === null) held++
    else faults.push({ trial: trial.name, at, fault })
    rmSync(run, { recursive: true, force: true })
  }
  return { count, held, slowestSeconds: Math.max(0, ...seconds) }
}

/** Start two new runs in one directory at the same moment. */
async function doubleStart(run) {
  const both = [await child('out', run, 1), await child('out', run, 1)]
  for (const one of both) one.go()
  const ends = await Promise.all(both.map(({ ended }) => ended))
  return oneOf(ends, 'usage: ') ?? faultIn(run)
}

/** Resume one stopped run twice at the same moment. */
async function doubleResume(run) {
  await interrupted(run)
  const both = [await child('resume', run, 100), await child('resume', run, 100)]
  for (const one of both) one.go()
  const ends = await Promise.all(both.map(({ ended }) => ended))
  return oneOf(ends, 'usage: ') ?? faultIn(run)
}

/** Kill the owner: the next training gets the lock immediately. */
async function killedOwner(run) {
  await interrupted(run)
  const next = await child('resume', run, 1)
  next.go()
  const end = await next.ended
  return end.code === 0 ? faultIn(run) : `the next one was refused: ${end.said}`
}

/** Suspend the owner: it keeps the lock, and continues to train after SIGCONT. */
async function suspendedOwner(run) {
  const owner = await child('out', run, 100)
  owner.go()
  await owner.begun
  owner.signal('SIGSTOP')
  const next = await child('resume', run, 1)
  next.go()
  const refused = await next.ended
  owner.signal('SIGCONT')
  const end = await owner.ended
  if (!refused.said.includes(`is being trained by process ${owner.pid} on host`))
    return `the second one was not refused: ${refused.said}`
  return end.code === 0 ? faultIn(run) : `the owner ended: ${end.said}`
}

/** Suspend the owner without its lock (a file system without locks): it wakes while the next one trains. */
async function cutOffOwner(run) {
  const owner = await child('out', run, 100)
  owner.go()
  await owner.begun
  suspendWithoutLock(owner)
  const next = await child('resume', run, 100)
  next.go()
  await next.begun
  owner.signal('SIGCONT')
  const [old, end] = [await owner.ended, await next.ended]
  if (old.code !== 1 || !old.said.startsWith('superseded: '))
    return `the old owner ended: ${old.code} ${old.said}`
  return end.code === 0 ? faultIn(run) : `the new owner ended: ${end.said}`
}

/** Do the same, but wake the owner after the end of the next one: no byte of the run may change. */
async function lateOwner(run) {
  const owner = await child('out', run, 100)
  owner.go()
  await owner.begun
  suspendWithoutLock(owner)
  const next = await child('resume', run, 1)
  next.go()
  const end = await next.ended
  const before = digestOf(run)
  owner.signal('SIGCONT')
  const old = await owner.ended
  if (old.code !== 1 || !old.said.startsWith('superseded: '))
    return `the old owner ended: ${old.code} ${old.said}`
  if (digestOf(run) !== before) return 'the old owner changed the run'
  return end.code === 0 ? faultIn(run) : `the new owner ended: ${end.said}`
}

/** Make a run whose owner is killed in the middle. */
async function interrupted(run) {
  const owner = await child('out', run, 100)
  owner.go()
  await owner.begun
  owner.signal('SIGKILL')
  await owner.ended
}

async function child(how, run, milliseconds) {
  const argv = [join(here, 'memory_training.mjs'), file, how, run, String(milliseconds)]
  const started = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  const waiting = []
  const saidWord = (word) => new Promise((resolve) => waiting.push([word, resolve]))
  started.stdin.on('error', () => {})
  started.stdout.on('data', (chunk) => {
    said += chunk
    for (const [word, resolve] of waiting) if (said.includes(word)) resolve()
  })
  const ended = once(started, 'close').then(([code]) => ({
    code,
    said: said.replace(/^ready\n(begun\n)?/, '').trim(),
  }))
  const [ready, begun] = [saidWord('ready\n'), Promise.race([saidWord('begun\n'), ended])]
  await ready
  const go = () => started.stdin.write('go\n')
  return { pid: started.pid, go, begun, ended, signal: (name) => process.kill(started.pid, name) }
}

/** Kill the process that holds the lock of a child, which cannot notice: it is suspended. */
function suspendWithoutLock(owner) {
  owner.signal('SIGSTOP')
  const helpers = readFileSync(`/proc/${owner.pid}/task/${owner.pid}/children`, 'utf8').match(/\d+/g)
  if (helpers === null) throw new Error(`process ${owner.pid}: no process holds its lock`)
  for (const helper of helpers) process.kill(Number(helper), 'SIGKILL')
}

function oneOf(ends, refusal) {
  const [trained, refused] = [ends.filter(({ code }) => code === 0), ends.filter(({ code }) => code === 2)]
  if (trained.length === 1 && refused.length === 1 && refused[0].said.startsWith(refusal)) return null
  return `not one of two: ${ends.map(({ code, said }) => `${code} ${said}`).join(' | ')}`
}

/** Return the signs that two processes wrote into a run, or that it is not whole. */
function faultIn(run) {
  const lines = readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n')
  const events = lines.map((line) => JSON.parse(line))
  const steps = events.filter(({ type }) => type === 'step').map(({ step }) => step)
  if (steps.join() !== [...Array(STEPS).keys()].join()) return `steps ${steps}`
  if (events.filter(({ type }) => type === 'finished').length !== 1) return 'not one end'
  const exit = JSON.parse(readFileSync(join(run, 'exit.json'), 'utf8'))
  if (exit.outcome !== 'completed' || exit.step !== STEPS) return `exit.json: ${JSON.stringify(exit)}`
  const left = readdirSync(run, { recursive: true }).filter((name) => /\.tmp|control\.json|\.lock/.test(name))
  return left.length === 0 ? null : `left: ${left}`
}

function digestOf(run) {
  const hash = createHash('sha256')
  // the old owner's own socket and lock are not of the run
  for (const entry of readdirSync(run, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) hash.update(entry.name).update(readFileSync(join(entry.parentPath, entry.name)))
  return hash.digest('hex')
}

function prepareInputs() {
  writeFileSync(
    file,
    `job: baseline
name: takeovers
region: abdomen
data:
  root: ${join(folder, 'phantoms')}
  phantoms: { labelledCases: 2, validationCases: 1, hostCases: 1, testCases: 1, sizeVoxels: 32, seed: 1 }
  datasets: [{ name: phantom_labelled }]
prepare: { cache: ${join(folder, 'cache')} }
sampling: { patchVoxels: [16, 16, 16], cropsPerVolume: 1, itemsPerStep: 1, mixing: false, workers: 0 }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: ${STEPS}, learningRate: 0.01, warmupSteps: 1, checkpointEverySteps: 3, validateEverySteps: 6 }
runtime: { device: cpu }
`,
  )
  const { status, stderr } = spawnSync(process.execPath, [cli, 'prepare', '--config', file], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
}
