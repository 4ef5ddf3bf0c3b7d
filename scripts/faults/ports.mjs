#!/usr/bin/env node
/**
 * Attacks all TCP ports of a job as another user of the same host: pickles, garbage, connections that stay open, and writes to
 * every key of a TCPStore (ports_stranger.py). Needs root, to become that user.
 *
 *     npm run build && sudo node scripts/faults/ports.mjs [--uid 65534] [--trials 3]
 *
 * Rows: `train` and `launch` with two ranks, attacked from the start and from the first step on; `control` attacks
 * `torchrun --standalone`, which unpickles what it reads: there the stranger must get code to run. Prints JSON. Exits with 1
 * when the stranger ran code, a job did not end well, a loss differs, or a listener is not on loopback. A job that is attacked
 * from the start may wait for a connection that the stranger took: gloo has no authentication (docs/security.md). Such a
 * row is `delayed`, and no failure.
 */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { processesOf, signalAll } from './terminal-session.mjs'
import { lastStepOf, lossesOf } from './terminal-trial.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const cli = join(root, 'dist/cli/start.js')
const { values } = parseArgs({
  options: { uid: { type: 'string', default: '65534' }, trials: { type: 'string', default: '3' } },
})
if (process.getuid() !== 0) {
  console.error('ports: run this as root (it becomes another user for the attack)')
  process.exit(2)
}

/** Join the other rank and sum a counter with it, for some seconds. */
const SCRIPT = `import time, torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.zeros(1)
print("joined", flush=True)
for step in range(60):
    total += 1
    dist.all_reduce(total)
    total /= dist.get_world_size()
    time.sleep(0.1)
assert total.item() == 60
dist.destroy_process_group()
`

const folder = mkdtempSync(join(tmpdir(), 'freetumor-ports-'))
const open = mkdtempSync(join(tmpdir(), 'freetumor-stranger-'))
chmodSync(open, 0o777)
const script = join(folder, 'script.py')
writeFileSync(script, SCRIPT)
const train = (out) => [process.execPath, cli, 'train', '--config', join(folder, 'config.yaml'), '--out', out]
const launch = (out) => [
  process.execPath,
  cli,
  'launch',
  '--processes',
  '2',
  '--python',
  python,
  '--out',
  out,
  '--',
  script,
]
const standalone = () => [
  python,
  '-m',
  'torch.distributed.run',
  '--standalone',
  '--nproc-per-node',
  '2',
  script,
]
writeFileSync(
  join(folder, 'config.yaml'),
  `job: baseline
name: ports
region: abdomen
data:
  root: ${folder}/phantoms
  phantoms: { labelledCases: 2, validationCases: 1, hostCases: 1, testCases: 1, sizeVoxels: 48, seed: 1 }
  datasets: [{ name: phantom_labelled }]
prepare: { cache: ${folder}/cache }
sampling: { patchVoxels: [24, 24, 24], cropsPerVolume: 1, itemsPerStep: 2, tumorOdds: 0.8, negativeOdds: 0.2, mixing: false, workers: 1 }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: 80, learningRate: 0.006, warmupSteps: 5, checkpointEverySteps: 10000, validateEverySteps: 10000 }
runtime: { device: cpu, processesPerNode: 2, hangSeconds: 60 }
`,
)

const rows = []
let reference = null
try {
  rows.push(await attacked('train, not attacked', train, 'never'))
  for (let trial = 0; trial < Number(values.trials); trial++) {
    rows.push(await attacked('train', train, 'first step'))
    rows.push(await attacked('train', train, 'start'))
    rows.push(await attacked('launch', launch, 'first step'))
    rows.push(await attacked('launch', launch, 'start'))
  }
  rows.push(await attacked('control: torchrun --standalone', standalone, 'start'))
} finally {
  rmSync(folder, { recursive: true, force: true })
  rmSync(open, { recursive: true, force: true })
}
console.log(JSON.stringify({ uid: Number(values.uid), rows }, null, 2))
process.exitCode = rows.every(({ held }) => held) ? 0 : 1

async function attacked(name, command, from) {
  const mark = `ports-${process.pid}-${rows.length}`
  const marker = join(open, mark)
  const out = join(folder, mark)
  const job = spawn(...split(command(out)), {
    cwd: folder,
    env: { ...process.env, FREETUMOR_PYTHON: python, FREETUMOR_TRIAL: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [job.stdout, job.stderr])
    stream.on('data', (data) => (text = (text + data).slice(-4000)))
  const ended = new Promise((resolve) => job.once('close', (code, signal) => resolve({ code, signal })))
  const stranger = spawn(python, [join(here, 'ports_stranger.py'), marker, values.uid], {
    cwd: open,
    env: { ...process.env, TORCH_CPP_LOG_LEVEL: 'FATAL' },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  stranger.stdin.on('error', () => {})
  let counts = null
  createInterface({ input: stranger.stdout }).on('line', (line) => (counts = JSON.parse(line)))
  const strangerEnded = new Promise((resolve) => stranger.once('close', resolve))
  const started = performance.now()
  const seen = new Set()
  let done = null
  void ended.then((how) => (done = how))
  while (done === null && performance.now() - started < 180_000) {
    const begun = from === 'start' || lastStepOf(out) >= 0 || /\bjoined\b/.test(text)
    for (const address of listenersOf(mark)) {
      seen.add(address)
      if (begun && from !== 'never') stranger.stdin.write(`${address}\n`)
    }
    await wait(50)
  }
  const hung = done === null
  if (hung) signalAll(processesOf(mark), 'SIGKILL')
  await ended
  stranger.stdin.end()
  await strangerEnded
  const losses = name.startsWith('train') ? lossesOf(out) : null
  reference ??= losses
  const ranCode = existsSync(marker)
  const outside = [...seen].filter((address) => !/^(127\.|::1 )/.test(address))
  const identical = losses === null ? null : losses === reference
  const delayed = hung && from === 'start'
  const isControl = name.startsWith('control')
  const held = isControl
    ? ranCode && outside.length > 0
    : !ranCode && outside.length === 0 && (delayed || (!hung && done.code === 0 && identical !== false))
  const row = {
    name,
    from,
    ranCode,
    hung,
    delayed,
    code: done?.code ?? null,
    identical,
    listeners: seen.size,
    outside,
    ...counts,
    held,
  }
  if (!held) row.text = text.slice(-600)
  console.error(JSON.stringify(row))
  return row
}

function split([program, ...argv]) {
  return [program, argv]
}

/** Return "ADDRESS PORT" of every TCP socket on which a process of the job listens. */
function listenersOf(mark) {
  const inodes = new Set(processesOf(mark).flatMap(({ pid }) => socketsOf(pid)))
  return ['tcp', 'tcp6'].flatMap((family) =>
    readFileSync(`/proc/net/${family}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === '0A' && inodes.has(fields[9]))
      .map((fields) => addressOf(fields[1])),
  )
}

function socketsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.slice(1) ?? []
      } catch {
        return [] // closed meanwhile
      }
    })
  } catch {
    return [] // it ended meanwhile
  }
}

/** Return the address as text, from the kernel's hexadecimal words in host order. */
function addressOf(field) {
  const [address, port] = field.split(':')
  const words = address.match(/.{8}/g).map((word) => Buffer.from(word, 'hex').reverse())
  if (words.length === 1) return `${[...words[0]].join('.')} ${Number.parseInt(port, 16)}`
  const bytes = Buffer.concat(words)
  const mapped = bytes.subarray(0, 12).equals(Buffer.from('00000000000000000000ffff', 'hex'))
  const text = mapped
    ? [...bytes.subarray(12)].join('.')
    : bytes.equals(Buffer.from(`${'0'.repeat(30)}01`, 'hex'))
      ? '::1'
      : bytes.equals(Buffer.alloc(16))
        ? '::'
        : bytes.toString('hex')
  return `${text} ${Number.parseInt(port, 16)}`
}
