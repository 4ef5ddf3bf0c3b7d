#!/usr/bin/env node
/**
 * Start every command that writes on a disk that is full, almost full or read-only, and with a TMPDIR that is missing,
 * full or read-only. Each ends with one typed error, leaves no process and no temporary file, on a full disk not even a
 * folder, and works once there is space.
 *
 *     npm run build && node scripts/faults/disks.mjs [--only NAME,NAME] [--seconds 10] [--light]
 *
 * Needs `unshare` (user namespaces, or root): the disks are tmpfs mounts in a namespace of their own. A start on a full
 * or read-only disk must end within --seconds. --light starts commands of PyTorch once only, without the second start
 * after space is freed. Prints JSON; exit code 1 for any fault.
 */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const self = fileURLToPath(import.meta.url)
const cli = join(dirname(self), '../../dist/cli/start.js')
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    light: { type: 'boolean' },
  },
})
if (process.env.FREETUMOR_DISKS === undefined) {
  const user = process.getuid() === 0 ? [] : ['--map-root-user']
  const argv = [...user, '--mount', process.execPath, self, ...process.argv.slice(2)]
  const { status, error } = spawnSync('unshare', argv, {
    stdio: 'inherit',
    env: { ...process.env, FREETUMOR_DISKS: '1' },
  })
  if (error) throw error
  process.exit(status ?? 1)
}

const folder = mkdtempSync(join(tmpdir(), 'freetumor-disks-'))
const disk = join(folder, 'disk')
const inside = (name) => join(disk, name)
const file = join(folder, 'config.yaml')
const data = join(folder, 'phantoms/phantom_labelled')
const [images, labels] = [join(data, 'imagesTr'), join(data, 'labelsTr')]
const model = join(folder, 'trained/checkpoints/step_00000004/model.pt')
const trained = () => cpSync(join(folder, 'trained'), inside('run'), { recursive: true })
const oneLabel = () => join(labels, readdirSync(labels)[0])

/** A command line, and the files on the disk before it starts. */
const COMMANDS = {
  train: { argv: () => ['train', '--config', file, '--out', inside('run')], again: resumeIfBegun },
  resume: {
    before: trained,
    argv: () => ['train', '--resume', inside('run'), '--accept-changes', '--set', 'training.steps=6'],
  },
  launch: { argv: () => launchInto('launch'), again: () => launchInto(scriptBegan() ? 'second' : 'launch') },
  prepare: { argv: () => ['prepare', '--config', file, '--set', `prepare.cache=${inside('cache')}`] },
  synthesize: {
    argv: () => ['synthesize', '--config', file, '--out', inside('synthetic'), '--variants', '1'],
  },
  predict: { argv: () => ['predict', '--checkpoint', model, '--images', images, '--out', inside('masks')] },
  evaluate: {
    argv: () => [
      ...['evaluate', '--predictions', labels, '--labels', labels, '--profile', 'freetumor'],
      ...['--out', inside('evaluation')],
    ],
  },
  simulate: {
    argv: () => [
      ...['simulate', '--labels', oneLabel(), '--organ', '1', '--size', 'tiny', '--tumors', '3'],
      ...['--write-masks', '1', '--out', inside('tumors')],
    ],
  },
  import: {
    argv: () => [
      'data',
      'import',
      '--lists',
      data,
      '--root',
      folder,
      '--region',
      'abdomen',
      '--out',
      inside('new/m.json'),
    ],
  },
  split: {
    argv: () => ['data', 'split', join(folder, 'm.json'), '--folds', '2', '--out', inside('new/split.json')],
  },
  audit: {
    argv: () => [
      'data',
      'audit',
      join(folder, 'm.json'),
      '--out',
      inside('audit'),
      '--cache',
      inside('cache'),
    ],
  },
  phantom: { argv: () => ['phantom', '--out', inside('phantoms'), '--cases', '1', '--size', '32'] },
  remap: {
    argv: () => [
      ...['data', 'remap', '--labels', oneLabel(), '--map', '1:1,2:2,3:3,4:4,5:5,6:6'],
      ...['--out', inside('new/label.nii.gz')],
    ],
  },
  init: { argv: () => ['init', '--out', inside('new/new.yaml')] },
  report: { before: trained, argv: () => ['report', inside('run')] },
  convert: {
    argv: () => [
      'checkpoint',
      'convert',
      model,
      '--to',
      'safetensors',
      '--out',
      inside('new/model.safetensors'),
    ],
  },
}
const CONDITIONS = { full: () => fill(0), almost: () => fill(8), readOnly: () => remount('ro') }
/** Faults of the temporary folder; the disk of the results is sound. */
const TEMPORARY = { missing: () => {}, full: () => fill(0), readOnly: () => remount('ro') }
const WITH_PYTORCH = ['train', 'resume', 'launch', 'prepare', 'synthesize', 'predict', 'evaluate', 'convert']
const WITH_TEMPORARY = ['train', 'predict', 'evaluate', 'convert']

try {
  prepareInputs()
  const trials = []
  for (const name of Object.keys(COMMANDS))
    for (const condition of Object.keys(CONDITIONS)) trials.push(() => onDisk(name, condition))
  for (const name of WITH_TEMPORARY)
    for (const condition of Object.keys(TEMPORARY)) trials.push(() => withTemporary(name, condition))
  const results = trials.map((trial) => trial()).filter((result) => result !== null)
  const faults = results.filter(({ faults }) => faults.length > 0)
  const starts = results.length
  const slowest = results.reduce((a, b) => (a.seconds > b.seconds ? a : b))
  console.log(
    JSON.stringify(
      { starts, held: starts - faults.length, slowest, faults, loadAverage: loadavg() },
      null,
      2,
    ),
  )
  process.exitCode = faults.length === 0 ? 0 : 1
} finally {
  spawnSync('umount', [disk])
  rmSync(folder, { recursive: true, force: true })
}

function wanted(name) {
  return values.only === undefined || values.only.split(',').includes(name)
}

function onDisk(name, condition) {
  if (!wanted(name)) return null
  const { before = () => {}, argv, again = argv } = COMMANDS[name]
  mount()
  before()
  CONDITIONS[condition]()
  const there = new Set(readdirSync(disk))
  const outcome = run(argv())
  const faults = faultsOf(outcome, condition === 'almost' ? Number.POSITIVE_INFINITY : Number(values.seconds))
  const isMade = (name) => condition === 'full' && !there.has(name)
  const left = [
    ...filesOn().filter((one) => /\.tmp/.test(one) && !/tfevents/.test(one)),
    ...readdirSync(disk).filter(isMade),
  ]
  if (left.length > 0) faults.push(`left: ${left}`)
  remount('rw')
  rmSync(inside('fill'), { force: true })
  // with a few KB left a small result fits: then there is nothing to start again
  if (outcome.code !== 0 && !(values.light && WITH_PYTORCH.includes(name))) {
    const retried = run(again())
    if (retried.code !== 0)
      faults.push(`afterwards: ${retried.stderr.trim().split('\n').slice(-3).join(' / ')}`)
  }
  unmount()
  return told(name, condition, outcome, faults)
}

function withTemporary(name, condition) {
  if (!wanted(name)) return null
  mount()
  TEMPORARY[condition]()
  const out = join(folder, 'elsewhere')
  const argv = COMMANDS[name].argv().map((one) => one.replace(disk, out))
  const outcome = run(argv, { TMPDIR: condition === 'missing' ? inside('none') : disk })
  const faults = faultsOf(outcome, Number(values.seconds))
  if (outcome.code !== 0 && outcome.code !== 4) faults.push(`exit code ${outcome.code}`)
  unmount()
  rmSync(out, { recursive: true, force: true })
  return told(name, `TMPDIR ${condition}`, outcome, faults)
}

function told(name, condition, { code, stderr, seconds }, faults) {
  const error = stderr.split('\n').find((line) => /^(error:|failed )/.test(line)) ?? ''
  process.stderr.write(
    `${name}, ${condition}: ${code} ${error} (${seconds.toFixed(1)} s) ${faults.join('; ')}\n`,
  )
  return { name, condition, code, error, seconds, faults }
}

function run(argv, env = {}, timeout = 180_000) {
  const started = performance.now()
  const done = spawnSync(process.execPath, [cli, ...argv], {
    encoding: 'utf8',
    timeout,
    killSignal: 'SIGKILL',
    cwd: folder,
    env: { ...process.env, ...env },
  })
  const seconds = (performance.now() - started) / 1000
  return { code: done.status, stderr: done.stderr, seconds }
}

function faultsOf({ code, stderr, seconds }, limit) {
  const faults = []
  const errors = stderr.split('\n').filter((line) => line.startsWith('error:'))
  if (code === null) faults.push('did not end')
  // work by case names each case that failed instead
  else if (code !== 0 && errors.length !== 1 && !/^failed /m.test(stderr))
    faults.push(`${errors.length} errors`)
  if (/bug in freetumor|\n\s+at /.test(stderr)) faults.push('not a typed error')
  if (seconds > limit) faults.push(`took ${seconds.toFixed(1)} s`)
  const alive = processesOf()
  if (alive.length > 0) faults.push(`still running: ${alive}`)
  return faults
}

/** Return the processes that name the disk in their command line. */
function processesOf() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(disk)
      } catch {
        return false
      }
    })
}

function resumeIfBegun() {
  const begun = existsSync(inside('run/config.resolved.yaml'))
  return begun ? ['train', '--resume', inside('run')] : COMMANDS.train.argv()
}

function launchInto(name) {
  return ['launch', '--out', inside(name), '--', join(folder, 'script.py')]
}

function scriptBegan() {
  return existsSync(inside('launch/logs/node-0/rank-0/output.log'))
}

function filesOn() {
  return readdirSync(disk, { recursive: true })
}

function mount() {
  mkdirSync(disk, { recursive: true })
  sh('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk])
}

function remount(mode) {
  sh('mount', ['-o', `remount,${mode}`, disk])
}

function unmount() {
  sh('umount', [disk])
}

/** Fill the disk; leave this number of KB free. */
function fill(kilobytes) {
  const descriptor = openSync(inside('fill'), 'w')
  const block = Buffer.alloc(4096)
  try {
    for (;;) writeSync(descriptor, block)
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error
  }
  ftruncateSync(descriptor, fstatSync(descriptor).size - kilobytes * 1024)
  closeSync(descriptor)
}

function sh(program, argv) {
  const { status, stderr } = spawnSync(program, argv, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')}: ${stderr}`)
}

function prepareInputs() {
  writeFileSync(
    file,
    `job: baseline
name: disks
region: abdomen
data:
  root: ${join(folder, 'phantoms')}
  phantoms: { labelledCases: 2, validationCases: 1, hostCases: 1, testCases: 1, sizeVoxels: 32, seed: 1 }
  datasets: [{ name: phantom_labelled }]
prepare: { cache: ${join(folder, 'cache')}, workers: 1 }
sampling: { patchVoxels: [16, 16, 16], cropsPerVolume: 1, itemsPerStep: 1, mixing: false, workers: 0 }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: 4, learningRate: 0.01, warmupSteps: 1, checkpointEverySteps: 2, validateEverySteps: 100 }
runtime: { device: cpu, restarts: { max: 0 } }
`,
  )
  writeFileSync(join(folder, 'script.py'), 'print("done")\n')
  for (const argv of [
    ['train', '--config', file, '--out', join(folder, 'trained')],
    [
      ...['data', 'import', '--lists', data, '--root', folder, '--region', 'abdomen'],
      ...['--out', join(folder, 'm.json')],
    ],
  ]) {
    const { code, stderr } = run(argv, {}, 900_000)
    if (code !== 0) throw new Error(stderr)
  }
}
