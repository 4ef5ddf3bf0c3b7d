#!/usr/bin/env node
/**
 * Offline synthesis on real scans: the same in another process, after kills at random moments, and nothing changed outside
 * the change masks.
 *
 *     npm run build && node scripts/faults/synthesis.mjs [--variants 20] [--kills 10] [--seed 0]
 *         [--generator FILE --baseline FILE]      weights for the abdomen; without them the difference is hand-crafted
 *
 * Wants the reference data beside the checkout (FREETUMOR_SHARED). Prints JSON; exit 1 when something was lost.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readNifti } from '../../dist/volume/nifti.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const cli = join(root, 'dist/cli/main.js')
const shared = process.env.FREETUMOR_SHARED ?? join(root, '../shared')
const { values } = parseArgs({
  options: {
    variants: { type: 'string', default: '20' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '0' },
    generator: { type: 'string' },
    baseline: { type: 'string' },
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
let drawn = 0
const random = () =>
  createHash('sha256').update(`${values.seed}/${drawn++}`).digest().readUInt32BE() / 2 ** 32

const folder = mkdtempSync(join(tmpdir(), 'freetumor-synthesis-'))
const report = {
  seed: values.seed,
  machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
}
try {
  for (const [region, scan] of Object.entries(SCANS)) report[region] = await campaign(region, scan)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.log(JSON.stringify(report, null, 2))
process.exitCode = Object.values(report).every((part) => part.held !== false) ? 0 : 1

async function campaign(region, scan) {
  for (const kind of ['image', 'label']) {
    const file = join(shared, scan[kind])
    if (!existsSync(file)) throw new Error(`${file} is missing (FREETUMOR_SHARED)`)
    mkdirSync(join(folder, region, kind), { recursive: true })
    symlinkSync(file, join(folder, region, kind, 'case.nii.gz'))
  }
  const started = performance.now()
  const whole = join(folder, region, 'whole')
  const code = await synthesize(region, scan, whole)
  const seconds = (performance.now() - started) / 1000
  const killed = join(folder, region, 'killed')
  let kills = 0
  while (kills < Number(values.kills)) {
    const ended = await synthesize(
      region,
      scan,
      killed,
      (0.2 + random()) * (seconds / Number(values.kills)) * 1000 + 4000,
    )
    if (ended === 0) break
    kills++
  }
  const last = await synthesize(region, scan, killed)
  const [a, b] = [filesOf(whole), filesOf(killed)]
  const ledgers = [ledgerOf(whole), ledgerOf(killed)]
  const outside = await outsideOfMasks(region, whole)
  return {
    code: [code, last],
    seconds: Math.round(seconds),
    kills,
    files: Object.keys(a).length,
    sameFiles: JSON.stringify(a) === JSON.stringify(b),
    tumors: ledgers[0].length,
    sameLedger: JSON.stringify(ledgers[0]) === JSON.stringify(ledgers[1]),
    litter: litterIn(killed),
    ...outside,
    held:
      code === 0 &&
      last === 0 &&
      JSON.stringify([a, ledgers[0]]) === JSON.stringify([b, ledgers[1]]) &&
      outside.voxelsChangedOutside === 0 &&
      outside.largestGeometryDifference <= 1e-6 &&
      litterIn(killed).length === 0,
  }
}

/** Runs the command; a process group that is killed after a while counts as a kill. */
async function synthesize(region, scan, out, killAfterMs = null) {
  const given = join(folder, region)
  const flags = ['--images', join(given, 'image'), '--labels', join(given, 'label'), '--label-map', scan.map]
  const made = ['--out', out, '--region', region, '--variants', values.variants, '--seed', values.seed]
  const weights =
    region === 'abdomen' && values.generator
      ? ['--generator', values.generator, ...(values.baseline ? ['--baseline', values.baseline] : [])]
      : []
  const child = spawn(process.execPath, [cli, 'synthesize', ...flags, ...made, ...weights], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const timer = killAfterMs === null ? null : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  const code = await new Promise((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  return code
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

async function outsideOfMasks(region, out) {
  const host = await readNifti(join(folder, region, 'image', 'case.nii.gz'))
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
