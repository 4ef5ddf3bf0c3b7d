#!/usr/bin/env node
/**
 * Predictions that are killed at random moments and started again, against one that was not: whatever looks finished is
 * finished, and in the end every mask is that of the unbroken prediction.
 *
 *     npm run build && node scripts/faults/predictions.mjs [--cases 8] [--kills 10] [--processes 2] [--seed 0]
 *
 * Made CTs and a small segmentor with weights of a seed. Prints JSON; exit 1 when something was lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const cli = join(root, 'dist/cli/main.js')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '8' },
    kills: { type: 'string', default: '10' },
    processes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
  },
})
let drawn = 0
const random = () =>
  createHash('sha256').update(`${values.seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32

const folder = mkdtempSync(join(tmpdir(), 'freetumor-predictions-'))
try {
  const report = await campaign()
  console.log(JSON.stringify(report, null, 2))
  process.exitCode = report.held ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function campaign() {
  prepareInputs()
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')]
  const started = performance.now()
  const code = await predict(whole)
  const milliseconds = performance.now() - started
  const expected = masksOf(whole)
  const half = []
  let [kills, alive] = [0, 0]
  while (kills < Number(values.kills)) {
    // Python's start takes its part of the time of every try
    const ended = await predict(broken, (0.3 + random()) * milliseconds * 0.6)
    if (ended !== null) break
    kills++
    const made = masksOf(broken)
    half.push(...Object.keys(made).filter((name) => made[name] !== expected[name]))
    alive = Math.max(alive, Object.keys(made).length)
  }
  const last = await predict(broken)
  const made = masksOf(broken)
  const same = JSON.stringify(made) === JSON.stringify(expected)
  const leavings = readdirSync(broken).filter((name) => name.includes('.tmp'))
  return {
    held: code === 0 && last === 0 && same && half.length === 0 && leavings.length === 0,
    masks: Object.keys(expected).length,
    kills,
    masksAtTheLastKill: alive,
    halfMasks: half,
    leavings,
    same,
    seconds: Math.round(milliseconds / 1000),
    loadAverage: loadavg(),
  }
}

function prepareInputs() {
  const phantoms = ['phantom', '--out', join(folder, 'data'), '--cases', values.cases, '--size', '48']
  const made = spawnSync(process.execPath, [cli, ...phantoms, '--seed', values.seed], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(made.stderr)
  const weights = spawnSync(python, [join(root, 'test/fixtures/make_segmentors.py')], {
    input: folder,
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: join(root, 'python_runtime') },
  })
  if (weights.status !== 0) throw new Error(weights.stderr)
}

/** Exit code; null when it was killed first. */
function predict(out, killAfterMs = null) {
  const flags = [
    '--checkpoint',
    join(folder, 'a.pt'),
    '--images',
    join(folder, 'data/imagesTr'),
    '--out',
    out,
  ]
  const shared = ['--processes', values.processes, '--threads', '1']
  const child = spawn(process.execPath, [cli, 'predict', ...flags, ...shared], { stdio: 'ignore' })
  const timer = killAfterMs === null ? null : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  return new Promise((resolve) => {
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve(code)
    })
  })
}

function masksOf(out) {
  let names = []
  try {
    names = readdirSync(out).filter((name) => name.endsWith('.nii.gz'))
  } catch {
    // killed before there was a folder
  }
  const digest = (name) =>
    createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex')
  return Object.fromEntries(names.sort().map((name) => [name, digest(name)]))
}
