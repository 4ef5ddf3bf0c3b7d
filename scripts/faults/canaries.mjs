// Campaign: every command that reads scans runs over scans that hold a word in every text field of their headers; the word
// is searched in all that the commands print and write (as it is, gunzipped, inflated, decoded from base64).
//   FREETUMOR_PYTHON=.venv/bin/python node scripts/faults/canaries.mjs [--keep]
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { gunzipSync, inflateSync } from 'node:zlib'

const WORD = 'CANARYXQ'
const root = resolve(import.meta.dirname, '../..')
const cli = join(root, 'dist/cli/main.js')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const folder = mkdtempSync(join(tmpdir(), 'freetumor-canaries-'))
const inputs = join(folder, 'inputs')
const work = join(folder, 'work')
mkdirSync(work, { recursive: true })
const env = {
  ...process.env,
  FREETUMOR_PYTHON: python,
  HOME: join(folder, 'home'),
  PYTHONPATH: join(root, 'python_runtime'),
}
mkdirSync(env.HOME)

const ran = []
const found = []

function run(args, codes = [0], program = [process.execPath, cli]) {
  const [command, ...more] = [...program, ...args]
  const done = spawnSync(command, more, { cwd: work, env, encoding: 'utf8', maxBuffer: 1 << 28 })
  const name = args
    .slice(0, 3)
    .map((arg) => (arg.includes('/') ? arg.split('/').pop() : arg))
    .join(' ')
  ran.push({ command: name, code: done.status })
  if (!codes.includes(done.status))
    console.error(`${args.join(' ')}\n  ended with ${done.status}: ${done.stderr.slice(-2000)}`)
  for (const stream of ['stdout', 'stderr'])
    if (has(Buffer.from(done[stream]))) found.push({ command: name, stream })
  return done
}

/** The word, or the word as a reader of other byte order turns it. */
const TURNED = [2, 4].map((width) =>
  WORD.match(new RegExp(`.{${width}}`, 'g'))
    .map((part) => [...part].reverse().join(''))
    .join(''),
)
const WORDS = [WORD, WORD.slice(0, 6), ...TURNED, Buffer.from(WORD, 'utf16le').toString('latin1')]

function has(bytes) {
  return WORDS.some((word) => bytes.includes(Buffer.from(word, 'latin1')))
}

function decodings(bytes) {
  const all = [bytes]
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) all.push(gunzipSync(bytes))
  if (bytes.subarray(1, 4).toString() === 'PNG') all.push(...textOfPng(bytes))
  const isText = bytes.length < 64e6 && !bytes.subarray(0, 4096).includes(0)
  if (isText)
    for (const [code] of bytes.toString('latin1').matchAll(/[A-Za-z0-9+/]{32,}={0,2}/g)) {
      const inner = Buffer.from(code, 'base64')
      all.push(inner)
      if (inner.subarray(1, 4).toString() === 'PNG') all.push(...textOfPng(inner))
    }
  return all
}

/** Return the chunks other than pixels; inflate compressed ones. */
function textOfPng(bytes) {
  const texts = []
  for (let at = 8; at + 8 <= bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    const type = bytes.toString('latin1', at + 4, at + 8)
    const body = bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at))
    if (type === 'IDAT') texts.push(inflateSync(body, { finishFlush: 2 }))
    else texts.push(body)
  }
  return texts
}

function search() {
  let files = 0
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isFile() || path.startsWith(inputs)) continue
    files++
    if (decodings(readFileSync(path)).some(has)) found.push({ file: relative(folder, path) })
  }
  return files
}

const MAP = '{ "1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6 }'
const configOf = (job, more) => {
  const file = join(work, `${job}.yaml`)
  writeFileSync(
    file,
    `job: ${job}
name: canaries-${job}
region: abdomen
data: { root: ../inputs, datasets: [{ name: labelled, role: labelled, labelMap: ${MAP} }, { name: hosts, role: host, labelMap: ${MAP} }] }
sampling: { patchVoxels: [40, 40, 40], cropsPerVolume: 1, itemsPerStep: 2 }
training: { steps: 2, warmupSteps: 1, validateEverySteps: 1 }
evaluation: { overlap: 0.25 }
simulation: { texture: { sizeVoxels: [72, 72, 72], count: 1 } }
report: { pictures: 1 }
runtime: { device: cpu }
${more}
`,
  )
  return file
}

try {
  for (const [name, cases] of Object.entries({ labelled: '3', hosts: '2' }))
    run(['phantom', '--out', join(inputs, name), '--cases', cases, '--size', '48', '--seed', '5'])
  const folders = ['labelled', 'hosts'].flatMap((name) =>
    ['imagesTr', 'labelsTr'].map((part) => join(inputs, name, part)),
  )
  run([join(root, 'scripts/faults/canaried_nifti.py'), WORD, ...folders], [0], [python])
  const scans = join(inputs, 'labelled/imagesTr')
  const labels = join(inputs, 'labelled/labelsTr')
  const first = readdirSync(labels).find((name) => name.endsWith('.nii.gz'))
  const planted = readdirSync(scans).filter(
    (name) => name.endsWith('.gz') && has(gunzipSync(readFileSync(join(scans, name)))),
  )

  for (const output of ['text', 'json', 'sarif'])
    run(['data', 'check', join(inputs, 'labelled'), '--output', output], [0, 3])
  run(['data', 'check', join(inputs, 'analyze/scan.nii')], [3])
  run([
    'data',
    'import',
    '--lists',
    join(inputs, 'labelled'),
    '--root',
    inputs,
    '--map',
    '1:1,2:2,3:3,4:4,5:5,6:6',
    '--region',
    'abdomen',
    '--measure',
    '--out',
    'manifest.json',
  ])
  run(['data', 'split', 'manifest.json', '--folds', '2', '--even', '--out', 'split.json'])
  run(['data', 'audit', 'split.json', '--out', 'audit'], [0, 6])
  run(['data', 'list'])
  run([
    'data',
    'remap',
    '--labels',
    join(labels, first),
    '--map',
    '1:5,2:6,3:3,4:4,5:1,6:2',
    '--out',
    'remapped.nii.gz',
  ])
  run([
    'simulate',
    '--labels',
    join(labels, first),
    '--organ',
    '1',
    '--size',
    'small',
    '--tumors',
    '4',
    '--out',
    'simulated',
    '--write-masks',
    '2',
  ])

  const small = 'networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }'
  const baseline = configOf('baseline', small)
  run(['config', 'print', baseline])
  run(['prepare', '--config', baseline])
  run(['prepare', '--config', baseline, '--estimate'])
  run(['plan', '--config', baseline])
  run(['train', '--config', baseline, '--out', 'runs/baseline'])
  const weights = join(work, 'runs/baseline/checkpoints/step_00000002/model.pt')
  const synthesis = configOf(
    'synthesis',
    `networks: { segmentor: { kind: small, featureSize: 8, levels: 2 }, generator: { baseChannels: 4 }, baseline: { checkpoint: ${weights} } }`,
  )
  run(['train', '--config', synthesis, '--out', 'runs/synthesis'])
  const generator = join(work, 'runs/synthesis/checkpoints/step_00000002/model.pt')
  const networks = `networks: { segmentor: { kind: small, featureSize: 8, levels: 2 }, generator: { checkpoint: ${generator} }, baseline: { checkpoint: ${weights} } }`
  run(['train', '--config', configOf('segmentation', networks), '--out', 'runs/segmentation'])
  run(['runs', 'list'])
  run(['runs', 'show', 'runs/segmentation'])
  run(['report', 'runs/segmentation'])
  run(['checkpoint', 'inspect', weights])
  run([
    'synthesize',
    '--config',
    join(work, 'segmentation.yaml'),
    '--variants',
    '1',
    '--out',
    'synthetic',
    '--set',
    'simulation.texture.sizeVoxels=[112,112,112]',
  ])
  run([
    'synthesize',
    '--images',
    join(inputs, 'hosts/imagesTr'),
    '--labels',
    join(inputs, 'hosts/labelsTr'),
    '--region',
    'abdomen',
    '--organs',
    'liver',
    '--variants',
    '2',
    '--out',
    'synthetic-by-hand',
    '--set',
    'simulation.texture.sizeVoxels=[112,112,112]',
    'simulation.texture.count=1',
  ])
  run(['sweep', 'synthetic'])
  run([
    'predict',
    '--checkpoint',
    weights,
    '--images',
    scans,
    '--out',
    'masks',
    '--overlap',
    '0',
    '--probabilities',
  ])
  run([
    'predict',
    '--checkpoint',
    weights,
    '--images',
    scans,
    '--labels',
    labels,
    '--grid',
    'prepared',
    '--overlap',
    '0',
    '--out',
    'masks-prepared',
  ])
  run(
    ['predict', '--checkpoint', weights, '--images', join(inputs, 'analyze'), '--out', 'masks-analyze'],
    [1, 3],
  )
  run([
    'evaluate',
    '--predictions',
    'masks',
    '--labels',
    labels,
    '--images',
    scans,
    '--profile',
    'lesion',
    '--out',
    'evaluation',
  ])
  run([
    'realism',
    'synthetic-by-hand',
    join(inputs, 'labelled'),
    '--out',
    'realism',
    '--min-tumors',
    '2',
    '--permutations',
    '20',
  ])
  for (const output of ['text', 'json']) run(['verify', 'synthetic-by-hand', '--output', output], [0, 3])
  run(['card', 'synthetic-by-hand', '--out', 'cards'])
  run(['card', 'runs/segmentation', '--out', 'cards-of-run'])
  const synthetic = readdirSync(join(work, 'synthetic-by-hand/imagesTr')).length
  const files = search()
  const failed = ran.filter(({ code }) => code === null || code === 1 || code === 2 || code === 5)
  console.log(
    JSON.stringify({ planted: planted.length, synthetic, commands: ran, files, found, failed }, null, 1),
  )
  process.exitCode = planted.length > 0 && synthetic > 0 && found.length === 0 && failed.length === 0 ? 0 : 1
} finally {
  if (process.argv.includes('--keep')) console.error(folder)
  else rmSync(folder, { recursive: true, force: true })
}
