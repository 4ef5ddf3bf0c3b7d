#!/usr/bin/env node
/**
 * Kill predictions at random moments, start them again, and compare them with an uninterrupted one: every file that
 * looks complete is complete, and in the end every mask equals that of the uninterrupted prediction.
 *
 *     npm run build && node scripts/faults/predictions.mjs [--cases 24] [--kills 10] [--processes 2] [--seed 0]
 *
 * Uses phantoms and a small segmentor with weights of a seed. Prints JSON; exit code 1 when something was lost.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cli, python, randomOf, root, runCampaign } from './campaign.mjs'
import { runKilled } from './killed.mjs'

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '24' },
    kills: { type: 'string', default: '10' },
    processes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '0' },
  },
})
const random = randomOf(values.seed)

const folder = mkdtempSync(join(tmpdir(), 'freetumor-predictions-'))
await runCampaign(folder, campaign)

async function campaign() {
  prepareInputs()
  const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')]
  const { code, milliseconds, firstAfter } = await predict(whole)
  const expected = masksOf(whole)
  const [half, masksAtKill] = [[], []]
  // time between two kills, so short that the last kill still finds masks to write
  const work = (milliseconds - firstAfter) / Number(values.kills)
  while (masksAtKill.length < Number(values.kills)) {
    // in turns anywhere in a start, and between or within written masks
    const kill =
      masksAtKill.length % 2 === 0 ? { afterMs: random() * firstAfter } : { afterFirstMs: random() * work }
    const ended = await predict(broken, kill)
    if (ended.code !== null) break
    const made = masksOf(broken)
    half.push(...Object.keys(made).filter((name) => made[name] !== expected[name]))
    masksAtKill.push(Object.keys(made).length)
  }
  const last = (await predict(broken)).code
  const made = masksOf(broken)
  const same = JSON.stringify(made) === JSON.stringify(expected)
  const leavings = readdirSync(broken).filter((name) => name.includes('.tmp'))
  return {
    held: code === 0 && last === 0 && same && half.length === 0 && leavings.length === 0,
    masks: Object.keys(expected).length,
    kills: masksAtKill.length,
    masksAtKill,
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
  const weights = spawnSync(python, [join(root, 'test/fixtures/make_segmentor.py')], {
    input: folder,
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: join(root, 'python_runtime') },
  })
  if (weights.status !== 0) throw new Error(weights.stderr)
}

/** Do as `runKilled`; its first report is a written mask. */
async function predict(out, kill = {}) {
  const flags = [
    '--checkpoint',
    join(folder, 'a.pt'),
    '--images',
    join(folder, 'data/imagesTr'),
    '--out',
    out,
  ]
  const shared = ['--workers', values.processes, '--threads', '1']
  const argv = [cli, 'predict', ...flags, ...shared, '--output', 'ndjson']
  return runKilled(argv, { output: 'stdout', kill })
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
