#!/usr/bin/env node
/**
 * Peak memory and time of commands that list many cases, without work on voxels. Prints JSON.
 *
 *     npm run build && node scripts/benchmarks/many_cases.mjs [--cases 161310] [--rows list,audit] [--folder DIR]
 *
 * Makes a data set of hard links to phantoms of 8^3 voxels, and a cache of fingerprints with random words; half of the
 * words follow a Zipf law, as in audit_search.mjs. A thousandth of the scans are copies. `--folder` keeps the files for
 * the next call. Rows:
 *
 * - `import`: `data import` of the data set
 * - `read`: read the manifest
 * - `list`: `data check` of the manifest, up to its first case
 * - `estimate`: `prepare --estimate` of a configuration with the manifest
 * - `audit`: `data audit` of the manifest; all fingerprints are cached
 * - `resume`: `prepare` of the manifest, stopped after a minute, and the resumed one, stopped after another minute; not
 *   among the default rows
 *
 * A peak is that of the resident memory of each process of a command (VmHWM).
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { fingerprintDirectory } from '../../dist/curation/audit/fingerprint-cache.js'
import { encodeLandmarks, KEYS_PER_LANDMARK } from '../../dist/curation/audit/landmarks.js'
import { writeManifest } from '../../dist/curation/datasets/manifest.js'
import { probeNifti } from '../../dist/volume/nifti-probe.js'
import { writeNifti } from '../../dist/volume/nifti-write.js'

const MAIN = resolve(import.meta.dirname, '../../dist/cli/main.js')
const ROWS = ['read', 'list', 'estimate', 'audit']
const RESUME_SECONDS = 60
/** A file has at most 65,000 links. */
const LINKS = 10_000
const SIDE = 8
const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '161310' },
    rows: { type: 'string', default: ROWS.join(',') },
    folder: { type: 'string' },
    workers: { type: 'string', default: '2' },
  },
})
const total = Number(values.cases)
const folder = resolve(values.folder ?? mkdtempSync(join(tmpdir(), 'freetumor-many-')))
const data = join(folder, 'data')
const manifest = join(folder, 'manifest.json')
const cache = join(folder, 'cache')
const random = { state: 1 }
const commands = {
  read: ['-e', moduleCode('await readManifest(process.argv[1])'), manifest],
  list: ['-e', moduleCode('checkList((await casesAt([process.argv[1]], {})).cases, [], {})'), manifest],
  import: [
    MAIN,
    'data',
    'import',
    '--lists',
    data,
    '--as',
    'none',
    '--region',
    'abdomen',
    '--map',
    'region',
    '--out',
    join(folder, 'imported.json'),
  ],
  estimate: [MAIN, 'prepare', '--estimate', '--config', join(folder, 'run.yaml')],
  resume: [MAIN, 'prepare', '--config', join(folder, 'run.yaml')],
  audit: [MAIN, 'data', 'audit', manifest, '--workers', values.workers, '--cache', cache],
}

try {
  if (!existsSync(manifest)) await makeFiles()
  const report = { cases: total, manifestMb: Math.round(statSync(manifest).size / 1e6), rows: {} }
  for (const row of values.rows.split(',')) {
    const limit = row === 'resume' ? RESUME_SECONDS : Infinity
    if (row === 'resume') report.rows['before resume'] = await measure(commands[row], limit)
    report.rows[row] = await measure(commands[row], limit)
    console.error(`${row}: ${JSON.stringify(report.rows[row])}`)
  }
  console.log(JSON.stringify(report, null, 2))
} finally {
  if (values.folder === undefined) rmSync(folder, { recursive: true, force: true })
}

function moduleCode(statement) {
  const from = (name) => JSON.stringify(resolve(import.meta.dirname, '../../dist', name))
  return [
    `import { readManifest } from ${from('curation/datasets/manifest.js')}`,
    `import { casesAt } from ${from('pipeline/data/collect.js')}`,
    `import { checkList } from ${from('curation/check/run.js')}`,
    statement,
  ].join('\n')
}

/**
 * Run Node with arguments; return its time, and the peak memory of it and of each process below it.
 * @param limit seconds after which SIGTERM stops it
 */
async function measure(argv, limit) {
  const started = performance.now()
  const flags = argv[0] === '-e' ? ['--input-type=module'] : []
  const child = spawn(process.execPath, [...flags, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: folder,
  })
  let text = ''
  child.stdout.on('data', (part) => {
    text = (text + part).slice(-2000)
  })
  child.stderr.on('data', (part) => {
    text = (text + part).slice(-2000)
  })
  const peaks = new Map()
  let processor = 0
  const watch = () => {
    let now = 0
    for (const pid of below(child.pid)) {
      const facts = factsOf(pid)
      if (facts === null) continue
      peaks.set(`${facts.name} ${pid}`, facts.peakMb)
      now += facts.seconds
    }
    processor = Math.max(processor, now)
  }
  const timer = setInterval(watch, 50)
  const stop = Number.isFinite(limit) ? setTimeout(() => child.kill('SIGTERM'), 1000 * limit) : null
  const code = await new Promise((done) => child.once('close', done))
  clearInterval(timer)
  clearTimeout(stop)
  const seconds = Number(((performance.now() - started) / 1000).toFixed(1))
  const peakMb = [...peaks]
    .map(([name, mb]) => ({ process: name.replace(/ \d+$/, ''), mb }))
    .sort((a, b) => b.mb - a.mb)
  return {
    exitCode: code,
    seconds,
    processorSeconds: Number(processor.toFixed(1)),
    peakMb: peakMb.slice(0, 4),
    end: text.trim().split('\n').slice(-2).join(' | ').slice(0, 300),
  }
}

/** Return a process and all processes below it. */
function below(pid) {
  const found = [pid]
  for (const one of found)
    try {
      for (const task of readdirSync(`/proc/${one}/task`))
        found.push(
          ...readFileSync(`/proc/${one}/task/${task}/children`, 'utf8')
            .trim()
            .split(' ')
            .filter(Boolean)
            .map(Number),
        )
    } catch {
      // ended meanwhile
    }
  return found
}

function factsOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return {
      name: /^Name:\s+(.*)$/m.exec(status)[1],
      peakMb: Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)[1]) / 1024),
      seconds: (Number(fields[11]) + Number(fields[12])) / 100,
    }
  } catch {
    return null
  }
}

async function makeFiles() {
  for (const name of ['imagesTr', 'labelsTr']) mkdirSync(join(data, name), { recursive: true })
  const affine = [1.5, 0, 0, -10, 0, 1.5, 0, -20, 0, 0, 3, 5, 0, 0, 0, 1]
  const shape = [SIDE, SIDE, SIDE]
  const image = {
    shape,
    affine,
    data: Int16Array.from({ length: SIDE ** 3 }, () => Math.floor(200 * uniform() - 60)),
  }
  const label = { shape, affine, data: Uint8Array.from({ length: SIDE ** 3 }, (_, at) => (at < 200 ? 1 : 0)) }
  const cases = []
  let sources
  for (let at = 0; at < total; at++) {
    if (at % LINKS === 0) {
      sources = { image: join(folder, `image_${at}.nii.gz`), label: join(folder, `label_${at}.nii.gz`) }
      await writeNifti(sources.image, image)
      await writeNifti(sources.label, label)
    }
    const name = `scan_${String(at).padStart(6, '0')}`
    const files = {
      image: join(data, 'imagesTr', `${name}.nii.gz`),
      label: join(data, 'labelsTr', `${name}.nii.gz`),
    }
    linkSync(sources.image, files.image)
    linkSync(sources.label, files.label)
    cases.push(caseOf(name, files, at))
  }
  const { bytes, digest } = await probeNifti(sources.image)
  const facts = (at) => ({ bytes, digest: `${digest.slice(0, 60)}${String(at).padStart(9, '0')}` })
  for (const [at, item] of cases.entries())
    Object.assign(item, {
      geometry: {
        shape,
        spacingMm: [1.5, 1.5, 3],
        affine: affine.map((value, of) => (of % 4 === 3 && of < 12 ? value + at / 7 : value)),
        dataType: 'int16',
      },
      files: { image: facts(at), label: facts(total + at) },
    })
  writeFileSync(join(folder, 'run.yaml'), configuration())
  writeFingerprints(cases)
  await writeManifest(manifest, { version: 1, cases })
}

function configuration() {
  return `job: baseline
name: many
region: abdomen
data:
  root: ${data}
  manifest: ${manifest}
  datasets:
    - { name: many, role: labelled, labelMap: region }
prepare: { cache: ${cache}, workers: ${values.workers} }
networks:
  segmentor: { kind: small, featureSize: 16, levels: 3 }
runtime: { device: cpu }
`
}

function caseOf(name, files, at) {
  return {
    id: `many/${name}`,
    dataset: 'many',
    patient: `many/patient_${String(at).padStart(6, '0')}`,
    region: 'abdomen',
    role: { kind: 'labelled', organs: ['liver', 'pancreas', 'kidney'] },
    ...files,
    fold: at % 5,
    split: at % 50 === 0 ? 'validation' : 'training',
    labelMap: { 0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6 },
  }
}

/** splitmix32, in [0, 1) */
function uniform() {
  random.state = (random.state + 0x9e3779b9) | 0
  let t = Math.imul(random.state ^ (random.state >>> 16), 0x21f0aaad)
  t = Math.imul(t ^ (t >>> 15), 0x735a2d97)
  return ((t ^ (t >>> 15)) >>> 0) / 2 ** 32
}

/** Write the cached fingerprint of each case: 64 patterns and 96 landmarks; of every thousandth that of the case before. */
function writeFingerprints(cases) {
  const [LANDMARKS, SKETCH] = [96, 64]
  const [VOCABULARY, FLAT] = [1e6, 11]
  const whole = (below) => Math.floor(uniform() * below)
  const common = () => Math.floor(FLAT * ((VOCABULARY + FLAT) / FLAT) ** uniform() - FLAT)
  const words = LANDMARKS * KEYS_PER_LANDMARK
  const directory = fingerprintDirectory(cache)
  mkdirSync(directory, { recursive: true })
  let before
  let state
  for (const [at, { image }] of cases.entries()) {
    const copied = at % 1000 === 999 ? before : null
    const keys = Uint32Array.from({ length: words }, (_, of) => (of < words / 2 ? whole(2 ** 32) : common()))
    const mm = Float32Array.from({ length: 3 * LANDMARKS }, () => 350 * uniform())
    const fingerprint = copied ?? {
      version: 1,
      exact: createHash('sha256').update(image).digest('hex'),
      shape: [SIDE, SIDE, SIDE],
      sketch: Array.from({ length: SKETCH }, () => whole(2 ** 26) * 2 ** 26 + whole(2 ** 26)).sort(
        (a, b) => a - b,
      ),
      landmarks: [{ reading: { low: -175, high: 250 }, encoded: encodeLandmarks({ mm, keys }) }],
    }
    before = fingerprint
    const name = `${createHash('sha256').update(resolve(image)).digest('hex').slice(0, 32)}.json`
    // links of one file have its state
    if (at % LINKS === 0) state = statSync(image)
    writeFileSync(
      join(directory, name),
      JSON.stringify({ bytes: state.size, changedMs: state.mtimeMs, fingerprint }),
    )
  }
}
