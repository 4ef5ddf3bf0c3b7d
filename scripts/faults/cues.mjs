#!/usr/bin/env node
/**
 * Plant cues in reader studies of phantoms: on one side, every scan is changed outside its tumor. `readers create` must refuse
 * each such study and name the cue. It may refuse at most 1 of 20 clean studies, whose tumors differ but nothing else.
 *
 *     npm run build && node scripts/faults/cues.mjs [--clean 20] [--cases 24] [--seed 0] [--only table]
 *
 * Prints JSON; exit code 1 when a cue was missed or a second clean study was refused.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { makePhantom } from '../../dist/phantom/make.js'
import { createReaderStudy } from '../../dist/pipeline/readers/create.js'
import { openStream } from '../../dist/simulation/random.js'
import { LABEL_SCHEMES } from '../../dist/volume/labels.js'
import { writeNifti } from '../../dist/volume/nifti-write.js'
import { runCampaign } from './campaign.mjs'

const { values } = parseArgs({
  options: {
    clean: { type: 'string', default: '20' },
    cases: { type: 'string', default: '24' },
    seed: { type: 'string', default: '0' },
    only: { type: 'string', default: '' },
  },
})
const SIZE = 56
const perSide = Number(values.cases) / 2 + 8

/** Changes of a scan's HU (x, y, z in C order; z is the fastest), and the cue that should be named. */
const PLANTED = [
  ['more noise', /noise level/, (scan, random) => each(scan, (value) => value + 6 * random.normal())],
  ['noise between slices', /between slices/, (scan, random) => slices(scan, () => 5 * random.normal())],
  ['blur in the plane', /plane/, (scan) => blur(blur(scan, 0), 1)],
  ['thick slices', /between slices/, (scan) => blur(scan, 2)],
  ['air clipped at -1000', /low end/, (scan) => each(scan, (value) => Math.max(-1000, value - 20), true)],
  ['bone clipped at 250', /high end/, (scan) => each(scan, (value) => Math.min(250, value))],
  ['shifted HU', /organ/, (scan) => each(scan, (value) => value + 25)],
  ['padding with zeros', /padding/, (scan) => border(scan, 6, 0)],
  ['padding with -1024', /padding|low end/, (scan) => border(scan, 8, -1024)],
  ['a table', /table/, (scan) => table(scan)],
]

const folder = mkdtempSync(join(tmpdir(), 'freetumor-cues-'))
await runCampaign(folder, async () => {
  const planted = []
  for (const [at, [name, expected, change]] of PLANTED.entries()) {
    if (!name.includes(values.only)) continue
    const told = await study(`planted-${at}`, 1000 + at, change)
    planted.push({ name, told, named: told.some((cue) => expected.test(cue)) })
  }
  const clean = []
  for (let at = 0; at < Number(values.clean); at++)
    clean.push({ seed: at, told: await study(`clean-${at}`, 2000 + at, (scan) => scan) })
  const found = planted.filter(({ told }) => told.length > 0).length
  const refused = clean.filter(({ told }) => told.length > 0).length
  return {
    held: found === planted.length && planted.every(({ named }) => named) && refused <= 1,
    found: `${found} of ${planted.length}`,
    named: planted.filter(({ named }) => named).length,
    refused: `${refused} of ${clean.length}`,
    planted,
    clean: clean.filter(({ told }) => told.length > 0),
  }
})

/** Make a study whose synthetic side is changed; return the cues by which the robot reader separates the sides. */
async function study(name, seed, change) {
  const place = join(folder, name)
  const random = openStream([Number(values.seed), 'cues', seed])
  await writeSide(join(place, 'real'), seed, 0, 'real', (scan) => scan, random)
  await writeSide(join(place, 'synthetic'), seed, perSide, 'synthetic', change, random)
  try {
    await createReaderStudy({
      real: join(place, 'real'),
      synthetic: join(place, 'synthetic'),
      out: join(place, 'study'),
      cases: Number(values.cases),
      examples: 0,
      organs: ['liver'],
      // nearly the whole phantom, so that its border and a table are visible
      cropMm: 78,
      seed,
    })
    return []
  } catch (error) {
    if (error.facts?.robot === undefined) throw error
    return error.facts.robot.separating
  }
}

/** Write phantoms: with tumors, or without them and a ball painted into each liver, as a synthetic data set. */
async function writeSide(place, seed, firstIndex, side, change, random) {
  const folders = ['imagesTr', 'labelsTr', ...(side === 'synthetic' ? ['tumorsTr'] : [])]
  for (const one of folders) mkdirSync(join(place, one), { recursive: true })
  const [ledger, hosts, training] = [[], [], []]
  for (let at = 0; at < perSide; at++) {
    const index = firstIndex + at
    const isReal = side === 'real'
    const { image, label } = makePhantom({
      region: 'abdomen',
      index,
      seed: Number(values.seed) * 10_000 + seed,
      sizeVoxels: SIZE,
      tumors: isReal,
      tumorOrgans: ['liver'],
    })
    const file = `p_${index}.nii.gz`
    const scan = change({ ...image, data: Float32Array.from(image.data) }, random)
    if (!isReal) {
      const tumors = paintBall(scan, label, random)
      await writeNifti(join(place, 'tumorsTr', file), { ...label, data: tumors })
      const host = createHash('sha256').update(`${seed} ${index}`).digest('hex')
      ledger.push({ case: `host_${index}`, host, tumor: 0, variant: 0, verdict: 'accepted', file })
      hosts.push({ case: `host_${index}`, image: `/hosts/imagesTr/host_${index}.nii.gz`, label: '' })
    }
    await writeNifti(join(place, 'imagesTr', file), { ...scan, data: Int16Array.from(scan.data, Math.round) })
    await writeNifti(join(place, 'labelsTr', file), label)
    training.push({
      image: `./imagesTr/${file}`,
      label: `./labelsTr/${file}`,
      ...(isReal ? {} : { host: `host_${index}`, patient: `host_${index}` }),
    })
  }
  const names = LABEL_SCHEMES.abdomen.names.map((name, id) => [String(id), name])
  const list = { name: side, labels: Object.fromEntries(names), training, validation: [], test: [] }
  writeFileSync(join(place, 'dataset.json'), JSON.stringify(list))
  if (side === 'real') return
  writeFileSync(join(place, 'ledger.jsonl'), ledger.map((line) => `${JSON.stringify(line)}\n`).join(''))
  writeFileSync(join(place, 'hosts.json'), JSON.stringify(hosts))
}

/** Paint a ball at a random voxel of the liver; return the mask. */
function paintBall({ data, shape }, label, random) {
  const liver = []
  for (let at = 0; at < label.data.length; at++) if (label.data[at] === 1) liver.push(at)
  const centre = placeOf(liver[random.integer(0, liver.length - 1)], shape)
  const radius = random.uniformIn(0.06, 0.12) * SIZE
  const mask = new Uint8Array(data.length)
  for (let at = 0; at < data.length; at++) {
    const distance = Math.hypot(...placeOf(at, shape).map((one, axis) => one - centre[axis]))
    if (distance > radius || label.data[at] !== 1) continue
    data[at] -= 60
    label.data[at] = 2
    mask[at] = 1
  }
  return mask
}

function placeOf(at, [, ny, nz]) {
  return [Math.floor(at / (ny * nz)), Math.floor(at / nz) % ny, at % nz]
}

function each(scan, change, everywhere = false) {
  // real air stays air: a shift of the whole scan would be one of the calibration
  const data = scan.data.map((value) => (everywhere || value > -900 ? change(value) : value))
  return { ...scan, data }
}

function slices(scan, offsetOf) {
  const nz = scan.shape[2]
  const offsets = Array.from({ length: nz }, offsetOf)
  return { ...scan, data: scan.data.map((value, at) => value + offsets[at % nz]) }
}

function blur(scan, axis) {
  const stride = [scan.shape[1] * scan.shape[2], scan.shape[2], 1][axis]
  const { data } = scan
  const at = (index) => data[Math.min(data.length - 1, Math.max(0, index))]
  return { ...scan, data: data.map((value, n) => at(n - stride) / 4 + value / 2 + at(n + stride) / 4) }
}

function border(scan, width, hu) {
  const data = scan.data.map((value, at) =>
    placeOf(at, scan.shape).some((one, axis) => one < width || one >= scan.shape[axis] - width) ? hu : value,
  )
  return { ...scan, data }
}

/** A board behind the body: the second axis leads to the front. */
function table(scan) {
  const data = scan.data.map((value, at) => {
    const [, y] = placeOf(at, scan.shape)
    return y <= 5 ? 80 : y <= 11 ? -1000 : value
  })
  return { ...scan, data }
}
