#!/usr/bin/env node
/**
 * Reproduce offline synthesis on real scans, organ by organ, in another process from the seed in its ledger, after
 * kills at random moments. Files and lines must be identical, and nothing may change outside the change masks.
 *
 *     npm run build && node scripts/faults/synthesis.mjs [--organs liver,kidney,pancreas,lung] [--variants 20] [--kills 10]
 *         [--seed 0] [--weights none|debug] [--processes 1] [--textures 10]
 *
 * `--weights debug`: a small generator and a small baseline with weights of a seed, and a rule that rejects small
 * tumors. Without weights the difference is hand-crafted. Needs the reference data next to the checkout
 * (FREETUMOR_SHARED). Prints JSON; exit code 1 when something was lost.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readNifti } from '../../dist/volume/nifti.js'
import { runKilled } from './killed.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const cli = join(root, 'dist/cli/main.js')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const shared = process.env.FREETUMOR_SHARED ?? join(root, '../shared')
const { values } = parseArgs({
  options: {
    organs: { type: 'string', default: 'liver,kidney,pancreas,lung' },
    variants: { type: 'string', default: '20' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '0' },
    weights: { type: 'string', default: 'none' },
    processes: { type: 'string', default: '1' },
    textures: { type: 'string', default: '10' },
  },
})
const SCANS = {
  abdomen: {
    image: 'data/totalsegmentator/example_ct.nii.gz',
    label: 'data/totalsegmentator/example_seg_fast_force_split.nii.gz',
    map: 'TotalSegmentator',
  },
  chest: {
    image: 'data/nsclc_lung1_001/ct_ds2.nii.gz',
    label: 'data/nsclc_lung1_001/label_ds2.nii.gz',
    map: '1:1,2:1,3:2,4:0',
  },
}
const regionOf = (organ) => (organ === 'lung' ? 'chest' : 'abdomen')
let drawn = 0
const random = () =>
  createHash('sha256').update(`${values.seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32

const folder = mkdtempSync(join(tmpdir(), 'freetumor-synthesis-'))
const report = {
  seed: values.seed,
  weights: values.weights,
  machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
}
try {
  if (values.weights === 'debug') makeWeights()
  for (const organ of values.organs.split(',')) report[organ] = await campaign(organ)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))
process.exitCode = Object.values(report).every((part) => part.held !== false) ? 0 : 1

function makeWeights() {
  const made = spawnSync(python, [join(root, 'scripts/faults/debug_weights.py'), folder], {
    encoding: 'utf8',
    env: { ...process.env, PYTHONPATH: join(root, 'python_runtime') },
  })
  if (made.status !== 0) throw new Error(made.stderr)
}

async function campaign(organ) {
  const scan = SCANS[regionOf(organ)]
  for (const kind of ['image', 'label']) {
    const file = join(shared, scan[kind])
    if (!existsSync(file)) throw new Error(`${file} is missing (FREETUMOR_SHARED)`)
    mkdirSync(join(folder, organ, kind), { recursive: true })
    symlinkSync(file, join(folder, organ, kind, 'case.nii.gz'))
  }
  const whole = join(folder, organ, 'whole')
  const { code, milliseconds, firstAfter } = await synthesize(organ, whole, values.seed)
  // the second process receives nothing else from the first
  const [{ seed }] = ledgerOf(whole)
  const again = join(folder, organ, 'again')
  let kills = 0
  // lines of the ledger after each kill
  const doneAtKill = []
  // time between two kills, so short that the last kill still finds variants to write
  const work = (milliseconds - firstAfter) / Number(values.kills)
  while (kills < Number(values.kills)) {
    // in turns anywhere in a start, and between or within written variants
    const kill =
      kills % 2 === 0 ? { afterMs: random() * firstAfter } : { afterFirstMs: 1.5 * random() * work }
    const ended = await synthesize(organ, again, seed, kill)
    if (ended.code !== null) break
    kills++
    doneAtKill.push(linesOf(again))
  }
  const last = (await synthesize(organ, again, seed)).code
  const made = [whole, again].map((out) => ({ files: filesOf(out), ledger: ledgerOf(out) }))
  const outside = await outsideOfMasks(organ, whole)
  const same = {
    files: JSON.stringify(made[0].files) === JSON.stringify(made[1].files),
    ledger: JSON.stringify(made[0].ledger) === JSON.stringify(made[1].ledger),
  }
  const verdicts = {}
  for (const { verdict } of made[0].ledger) verdicts[verdict] = (verdicts[verdict] ?? 0) + 1
  const litter = litterIn(again)
  return {
    code: [code, last],
    seconds: Math.round(milliseconds / 1000),
    kills,
    doneAtKill,
    files: Object.keys(made[0].files).length,
    tumors: verdicts,
    same,
    litter,
    ...outside,
    held:
      code === 0 &&
      last === 0 &&
      same.files &&
      same.ledger &&
      outside.voxelsChanged > 0 &&
      outside.voxelsChangedOutside === 0 &&
      outside.largestGeometryDifference <= 1e-6 &&
      litter.length === 0,
  }
}

/** Do as `runKilled`; its first report is a written variant. */
async function synthesize(organ, out, seed, kill = {}) {
  const [given, region] = [join(folder, organ), regionOf(organ)]
  const flags = ['--images', join(given, 'image'), '--labels', join(given, 'label')]
  const kind = ['--map', SCANS[region].map, '--region', region, '--organs', organ]
  const made = ['--out', out, '--variants', values.variants, '--seed', String(seed)]
  const weights = ['generator', 'baseline'].flatMap((name) => [
    `--${name}`,
    join(folder, `${region}-${name}.pt`),
  ])
  // each attempt predicts every tumor in hundreds of windows at the published overlap; this baseline detects all of
  // them, so a rule rejects the small ones
  const faster = ['--set', 'synthesize.overlap=0.5', 'evaluation.overlap=0.5', 'synthesize.triesPerTumor=4']
  faster.push('quality.rules.volumeMl.min=0.5')
  const ways = values.weights === 'debug' ? [...weights, '--channel', 'organ', ...faster] : []
  if (values.textures !== '10')
    ways.push(...(ways.includes('--set') ? [] : ['--set']), `simulation.texture.count=${values.textures}`)
  return runKilled([cli, 'synthesize', ...flags, ...kind, ...made, ...ways, '--workers', values.processes], {
    output: 'stderr',
    onOutput: (text) => process.stderr.write(text),
    kill,
  })
}

function linesOf(out) {
  try {
    return readFileSync(join(out, 'ledger.jsonl'), 'utf8').split('\n').length - 1
  } catch {
    return 0
  }
}

function filesOf(out) {
  const digest = (path) => createHash('sha256').update(readFileSync(path)).digest('hex')
  return Object.fromEntries(
    ['imagesTr', 'labelsTr', 'changeTr', 'pictures'].flatMap((name) =>
      readdirSync(join(out, name))
        .sort()
        .map((file) => [`${name}/${file}`, digest(join(out, name, file))]),
    ),
  )
}

function ledgerOf(out) {
  const lines = readFileSync(join(out, 'ledger.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => ({ ...JSON.parse(line), time: null }))
}

function litterIn(out) {
  return ['', 'imagesTr', 'labelsTr', 'changeTr', 'pictures'].flatMap((name) =>
    readdirSync(join(out, name)).filter((file) => file.includes('.tmp')),
  )
}

async function outsideOfMasks(organ, out) {
  const host = await readNifti(join(folder, organ, 'image', 'case.nii.gz'))
  let voxelsChangedOutside = 0
  let largestGeometryDifference = 0
  let voxelsChanged = 0
  for (const file of readdirSync(join(out, 'imagesTr'))) {
    const image = await readNifti(join(out, 'imagesTr', file))
    const change = await readNifti(join(out, 'changeTr', file))
    for (const other of [image, change])
      for (let at = 0; at < 16; at++)
        largestGeometryDifference = Math.max(
          largestGeometryDifference,
          Math.abs(other.affine[at] - host.affine[at]),
        )
    for (let at = 0; at < host.data.length; at++) {
      if (image.data[at] === host.data[at]) continue
      if (change.data[at] === 1) voxelsChanged++
      else voxelsChangedOutside++
    }
  }
  return { voxelsChanged, voxelsChangedOutside, largestGeometryDifference }
}
