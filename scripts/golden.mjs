#!/usr/bin/env node
/**
 * Proves that a change of the code's structure changes no result. Runs the debug trainings, an offline synthesis, predictions,
 * an evaluation and the data commands, and writes one SHA-256 for each result. Times, process ids and paths are left out.
 *
 *     npm run build && node scripts/golden.mjs > before.json        # on the code before the change
 *     npm run build && node scripts/golden.mjs --against before.json
 *
 * The second call lists what differs and exits with 1. About 3 minutes on 2 cores. Results are bit-identical only on the same
 * machine with the same packages.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values } = parseArgs({
  options: { against: { type: 'string' }, keep: { type: 'boolean', default: false } },
})
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'freetumor-golden-')))
const LABELS = '1:1,2:2,3:3,4:4,5:5,6:6'

/** Keys of JSON that differ from run to run. */
const VOLATILE =
  /^key$|^input$|hash|modified|time|seconds|memory|utilization|pid|^host$|version|runid|directory|path|^rate$|sha256OfFile|device|progress|bytes|command|started|ended|created/i

/** Argument lists, in order; each may use the results of those before it. */
const STEPS = [
  ['phantom', '--out', 'scans', '--cases', '4', '--size', '64', '--seed', '5'],
  [
    'simulate',
    '--labels',
    'scans/labelsTr/LABEL',
    '--organ',
    '1',
    '--size',
    'mixed',
    '--tumors',
    '40',
    '--seed',
    '3',
  ].concat(['--out', 'simulated', '--write-masks', '3']),
  ['data', 'check', 'scans', '--map', LABELS, '--output', 'json'],
  [
    'data',
    'import',
    '--lists',
    'scans',
    '--root',
    '.',
    '--map',
    LABELS,
    '--measure',
    '--out',
    'manifest.json',
  ],
  ['data', 'split', 'manifest.json', '--folds', '2', '--out', 'split.json'],
  ['data', 'audit', 'split.json', '--out', 'audit'],
  ['train', '--config', 'debug-segmentation.yaml', '--out', 'runs/segmentation'],
  ['plan', '--config', 'debug-segmentation.yaml', '--output', 'json'],
  ['predict', '--checkpoint', 'CHECKPOINT', '--images', 'scans/imagesTr', '--out', 'masks'],
  [
    'evaluate',
    '--predictions',
    'masks',
    '--labels',
    'scans/labelsTr',
    '--profile',
    'lesion',
    '--nsd',
    '1,2',
  ].concat(['--out', 'evaluation']),
  [
    'synthesize',
    '--config',
    'debug-segmentation.yaml',
    '--out',
    'synthetic',
    '--variants',
    '2',
    '--seed',
    '4',
  ].concat(['--set', 'quality.shareSeenThreshold=0.01', '--allow-empty', '--keep-rejected', '2']),
  [
    'synthesize',
    '--images',
    'scans/imagesTr',
    '--labels',
    'scans/labelsTr',
    '--map',
    LABELS,
    '--variants',
    '1',
  ]
    .concat(['--region', 'abdomen', '--organs', 'liver', '--out', 'crafted'])
    .concat(['--set', 'simulation.texture.sizeVoxels=[112,112,112]', 'simulation.texture.count=2']),
]

const found = {}
try {
  for (const name of readdirSync(join(root, 'configs')).filter((name) => name.startsWith('debug-')))
    copyFileSync(join(root, 'configs', name), join(folder, name))
  for (const [index, argv] of STEPS.entries()) run(index, argv.map(filled))
  for (const path of readdirSync(folder, { recursive: true }).sort()) record(String(path))
} finally {
  if (values.keep) console.error(`results: ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
if (values.against === undefined) console.log(JSON.stringify(found, null, 2))
else compare(JSON.parse(readFileSync(values.against, 'utf8')))

function run(index, argv) {
  const started = performance.now()
  const done = spawnSync(process.execPath, [join(root, 'dist/cli/start.js'), ...argv], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  })
  console.error(
    `${argv.slice(0, 2).join(' ')}: exit ${done.status}, ${((performance.now() - started) / 1000).toFixed(1)} s`,
  )
  if (done.status !== 0)
    throw new Error(`freetumor ${argv.join(' ')} ended with ${done.status}: ${done.stderr.slice(-600)}`)
  if (argv.includes('--output')) found[`${index} ${argv[0]} stdout`] = hashOf(stable(JSON.parse(done.stdout)))
}

function filled(argument) {
  const label = () => readdirSync(join(folder, 'scans/labelsTr')).sort()[0]
  const checkpoints = join(folder, 'runs/segmentation/checkpoints')
  if (argument === 'CHECKPOINT')
    return join(checkpoints, readFileSync(join(checkpoints, 'latest'), 'utf8').trim(), 'model.pt')
  return argument.includes('LABEL') ? argument.replace('LABEL', label()) : argument
}

/** Record a file by its content; logs, reports and locks are no results. */
function record(path) {
  const file = join(folder, path)
  const read = () => readFileSync(file)
  if (/(^|\/)(logs|tensorboard|fingerprints|checksums)\//.test(path)) return // times, or keyed by times of files
  const name = nameOf(path)
  if (/\.nii\.gz$/.test(path)) found[name] = hashOf(gunzipSync(read()))
  else if (/\.zarr\/.*\/c\/|\/c\/0|model\.pt$|optimizer\.pt$|index\.bin$|\.csv$|\.png$/.test(path)) {
    try {
      found[name] = hashOf(read())
    } catch (error) {
      if (error.code !== 'EISDIR') throw error
    }
  } else if (
    /\.(nd)?jsonl?$/.test(path) &&
    !/control|owner|exit|lock|provenance|manifest\.json$/.test(basename(path))
  )
    found[name] = hashOf(jsonLines(read().toString('utf8')).map(stable))
}

/** Run directories of earlier jobs have a time or a hash of paths in their names. */
function nameOf(path) {
  return path.replace(/\d{8}[-T]?\d{6}[^/]*/g, 'TIME').replace(/-[0-9a-f]{12}(?=$|\/)/g, '-HASH')
}

function jsonLines(text) {
  try {
    return [JSON.parse(text)]
  } catch {
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  }
}

function stable(value) {
  if (typeof value === 'string')
    return nameOf(value.replaceAll(folder, '<folder>').replaceAll(root, '<package>'))
  if (Array.isArray(value)) return value.map(stable)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !VOLATILE.test(key))
      .map(([key, held]) => [key, stable(held)]),
  )
}

function hashOf(value) {
  const bytes = Buffer.isBuffer(value) ? value : JSON.stringify(value)
  return createHash('sha256').update(bytes).digest('hex')
}

function compare(before) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(found)])].sort()
  const differing = names.filter((name) => before[name] !== found[name])
  for (const name of differing)
    console.log(`${name in found ? (name in before ? 'differs' : 'new') : 'missing'}: ${name}`)
  console.log(`${names.length - differing.length} of ${names.length} results are bit-identical`)
  process.exitCode = differing.length === 0 ? 0 : 1
}
