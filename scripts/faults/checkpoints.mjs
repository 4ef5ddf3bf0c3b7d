#!/usr/bin/env node
/**
 * Check that a run keeps its checkpoints when it is killed inside a save, when the disk is full and when a bit changes,
 * and that a run that was killed and resumed is bit-identical to an uninterrupted one.
 *
 *     npm run build && node scripts/faults/checkpoints.mjs [kills|bits|diskFull|resume ...] [--kills 200] [--seed 0]
 *
 * Prints JSON; exit code 1 when something was lost.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openNewestGood, pruneCheckpoints } from '../../dist/training/checkpoints.js'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
const cli = join(root, 'dist/cli/main.js')
const environment = { ...process.env, NO_COLOR: '1' }
const CAMPAIGNS = { kills, bits, diskFull, resume }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: '0' },
    inside: { type: 'string' },
  },
})
const random = randomNumbers(Number(values.seed))

if (values.inside) {
  console.log(JSON.stringify(await insideSmallDisk(values.inside)))
} else {
  const report = {
    machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
  }
  for (const name of positionals.length > 0 ? positionals : Object.keys(CAMPAIGNS)) {
    const folder = mkdtempSync(join(tmpdir(), 'freetumor-faults-'))
    const started = performance.now()
    try {
      report[name] = await CAMPAIGNS[name](folder)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    report[name].seconds = Math.round((performance.now() - started) / 1000)
    console.error(`${name}: ${report[name].held ? 'held' : 'FAILED'} after ${report[name].seconds} s`)
  }
  console.log(JSON.stringify(report, null, 2))
  process.exitCode = Object.values(report).every((part) => part.held !== false) ? 0 : 1
}

/** Kill a process that saves without a pause at a random time; then start the run again. */
async function kills(folder) {
  const done = await killedSaver(join(folder, 'run'), false, Number(values.kills))
  // without the renames the same kills must do harm
  const { unreadable, wentBack, passedOver } = await killedSaver(join(folder, 'control'), true, 30)
  const controls = { savesInPlaceAreFound: unreadable + wentBack + passedOver > 0 }
  return {
    ...done,
    controls,
    control: { unreadable, wentBack, passedOver },
    held: done.held && controls.savesInPlaceAreFound,
  }
}

/**
 * Kill until `wanted` kills fell inside a save. Saves in place leave no trace, so there all kills count.
 */
async function killedSaver(run, inPlace, wanted) {
  const saver = startSaver()
  const counts = { insideASave: 0, betweenSaves: 0, unreadable: 0, wentBack: 0, passedOver: 0, litter: 0 }
  const stages = {}
  // the time of a save decides which kills fall into one
  await saver.ask({ do: 'kill', run, step: 1, after: 0.5, inPlace })
  const perSave = 0.5 / Math.max(1, (await openNewestGood(run, () => {}))?.step ?? 1)
  let step = 1
  while ((inPlace ? counts.betweenSaves : counts.insideASave) < wanted) {
    const after = random() * 4 * perSave
    const { saved, stage } = await saver.ask({ do: 'kill', run, step, after, inPlace })
    stages[stage] = (stages[stage] ?? 0) + 1
    counts[stage === 'between two saves' ? 'betweenSaves' : 'insideASave']++
    const told = []
    const found = await openNewestGood(run, (text) => told.push(text))
    counts.passedOver += told.length
    if (found === null) counts.unreadable += saved === null && step === 1 ? 0 : 1
    else {
      const loaded = await saver.ask({ do: 'load', directory: found.directory })
      if (loaded.error || !loaded.whole || loaded.step !== found.step) counts.unreadable++
      if (found.step < Math.max(step - 1, saved ?? 0)) counts.wentBack++
      step = found.step + 1
    }
    const names = readdirSync(join(run, 'checkpoints'))
    if (names.some((name) => !/^(latest|step_\d{8})$/.test(name))) counts.litter++
    await pruneCheckpoints(run, 3)
  }
  saver.close()
  const { unreadable, wentBack, passedOver, litter } = counts
  return {
    ...counts,
    stages,
    lastStep: step - 1,
    held: unreadable + wentBack + passedOver + litter === 0,
  }
}

/** Change one bit of the newest checkpoint, anywhere in it. */
async function bits(folder) {
  const saver = startSaver()
  const run = join(folder, 'run')
  const counts = { flips: 60, fellBack: 0, wrong: 0 }
  for (let flip = 0; flip < counts.flips; flip++) {
    rmSync(run, { recursive: true, force: true })
    await saver.ask({ do: 'kill', run, step: 1, after: 0.2 })
    const newest = await openNewestGood(run, () => {})
    const older = readdirSync(join(run, 'checkpoints')).filter((name) => name.startsWith('step_')).length > 1
    if (newest === null || !older) {
      flip--
      continue
    }
    const file = ['model.pt', 'state.pt', 'manifest.json'][flip % 3]
    const place = flipBit(join(newest.directory, file))
    const told = []
    const found = await openNewestGood(run, (text) => told.push(text))
    const good = found?.step === newest.step - 1 && told.length === 1
    // a bit of the manifest may change an unused value, or one that a resume compares and refuses
    const harmless = file === 'manifest.json' && found?.step === newest.step
    if (good) counts.fellBack++
    else if (!harmless) {
      counts.wrong++
      console.error(`bit at ${place} of ${file}: resumed from ${found?.step}, newest was ${newest.step}`)
    }
  }
  saver.close()
  return {
    ...counts,
    inUnreadPartOfManifest: counts.flips - counts.fellBack - counts.wrong,
    held: counts.wrong === 0,
  }
}

/** Save and train on a file system of a few MB, in a mount namespace of its own. */
async function diskFull(folder) {
  const mount = `mount -t tmpfs -o size=20m tmpfs '${folder}' && exec '${process.execPath}' '${fileURLToPath(import.meta.url)}' --inside '${folder}'`
  const done = spawnSync('unshare', ['--map-root-user', '--mount', 'bash', '-c', mount], { encoding: 'utf8' })
  if (done.status !== 0)
    return { held: false, reason: `the campaign on a small file system failed: ${done.stderr.slice(-500)}` }
  return JSON.parse(done.stdout)
}

async function insideSmallDisk(folder) {
  const saver = startSaver()
  const run = join(folder, 'saving')
  const filled = await saver.ask({ do: 'fill', run })
  const found = await openNewestGood(run, () => {})
  const loaded = await saver.ask({ do: 'load', directory: found.directory })
  const names = readdirSync(join(run, 'checkpoints')).sort()
  saver.close()
  rmSync(run, { recursive: true })
  const saving = {
    ...filled,
    lastGoodLoads: loaded.whole === true && loaded.step === filled.saved,
    litter: names.filter((name) => !/^(latest|step_\d{8})$/.test(name)),
  }
  const training = trainOnSmallDisk(folder)
  const typed = saving.kind === 'environment' && /errno 28/.test(saving.message) && saving.hint !== ''
  const held = typed && saving.lastGoodLoads && saving.litter.length === 0 && training.held
  return { saving, training, held }
}

function trainOnSmallDisk(folder) {
  const data = mkdtempSync(join(tmpdir(), 'freetumor-faults-data-'))
  try {
    const out = join(folder, 'run')
    // as many checkpoints as the disk does not hold
    const settings = ['training.checkpointEverySteps=1', 'training.keepCheckpoints=100', 'training.steps=12']
    const failed = train(data, ['--out', out, '--set', ...settings])
    const exit = JSON.parse(readFileSync(join(out, 'exit.json'), 'utf8'))
    spawnSync('mount', ['-o', 'remount,size=200m', folder])
    const resumed = train(data, ['--resume', out, '--set', ...settings])
    const litter = readdirSync(join(out, 'checkpoints')).filter(
      (name) => !/^(latest|best|step_\d{8})$/.test(name),
    )
    return {
      exitCode: failed.status,
      told: failed.stderr.split('\n').filter((line) => line.includes('cannot be written')),
      exit,
      afterMakingRoom: resumed.status,
      litter,
      held:
        failed.status === 4 &&
        /errno 28|ENOSPC/.test(failed.stderr) &&
        resumed.status === 0 &&
        litter.length === 0,
    }
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
}

/** Compare trainings of 2 and 3 ranks that are killed and resumed with uninterrupted ones. */
async function resume(folder) {
  const killed = []
  for (const ranks of [2, 3])
    killed.push(await killedAndUnbroken(join(folder, `ranks-${ranks}`), folder, ranks))
  const toys = []
  for (const ranks of [2, 3]) for (const warmUp of [true, false]) toys.push(toy(folder, ranks, warmUp))
  const equal = [...killed, ...toys.filter(({ warmUp }) => warmUp)].every((one) => one.losses && one.weights)
  const control = toys.find(({ ranks, warmUp }) => ranks === 3 && !warmUp)
  return { killed, toys, held: equal && !(control.losses && control.weights) }
}

/** Run the command line, and kill it with SIGKILL after some steps, at any moment. */
async function killedAndUnbroken(out, data, ranks) {
  const settings = [
    'training.steps=14',
    'training.checkpointEverySteps=2',
    'sampling.itemsPerStep=6',
    `runtime.processesPerNode=${ranks}`,
  ]
  const whole = train(data, ['--out', join(out, 'whole'), '--set', ...settings])
  const atStep = 5 + Math.floor(random() * 6)
  const killedAt = await trainAndKill(data, ['--out', join(out, 'killed'), '--set', ...settings], atStep)
  const resumed = train(data, ['--resume', join(out, 'killed'), '--set', ...settings])
  const [unbroken, broken] = [eventsOf(join(out, 'whole')), eventsOf(join(out, 'killed'))]
  return {
    ranks,
    killedAt,
    wentOnFrom: broken.filter(({ type }) => type === 'started').at(-1)?.step,
    exitCodes: [whole.status, resumed.status],
    steps: lossesOf(unbroken).length,
    losses: JSON.stringify(lossesOf(unbroken)) === JSON.stringify(lossesOf(broken)),
    weights: weightsOf(join(out, 'whole'), 14) === weightsOf(join(out, 'killed'), 14),
  }
}

/** Small networks in one process group, with and without the warm-up of DDP: both jobs must be equal. */
function toy(folder, ranks, warmUp) {
  const own = mkdtempSync(join(folder, 'toy-'))
  const script = join(root, 'python_runtime/tests/training/toy_training.py')
  const launcher = ['-m', 'torch.distributed.run', '--standalone', `--nproc-per-node=${ranks}`, script, own]
  const argv = [...launcher, 'baseline', 'synthesis', ...(warmUp ? [] : ['--no-warm-up'])]
  const done = spawnSync(python, argv, { encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1' } })
  const jobs = JSON.parse(done.stdout.trim().split('\n').at(-1))
  const same = (part) =>
    Object.values(jobs).every((job) => JSON.stringify(job[part].whole) === JSON.stringify(job[part].parts))
  return { ranks, warmUp, losses: same('losses'), weights: same('weights') }
}

function train(data, argv) {
  const options = { cwd: data, encoding: 'utf8', env: environment }
  return spawnSync(process.execPath, [cli, 'train', ...configOf(argv), ...argv], options)
}

function trainAndKill(data, argv, atStep) {
  const options = { cwd: data, env: environment, stdio: ['ignore', 'pipe', 'ignore'] }
  const command = ['train', ...configOf(argv), ...argv, '--output', 'ndjson']
  const child = spawn(process.execPath, [cli, ...command], options)
  let last = -1
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line)
    if (event.type !== 'step') return
    last = event.step
    // not at once: anywhere in the step, or in the save after it
    if (last === atStep) setTimeout(() => child.kill('SIGKILL'), random() * 150)
  })
  return new Promise((resolve) => child.once('close', () => resolve(last)))
}

/** Return the options of the configuration; a resumed run uses the one in its folder. */
function configOf(argv) {
  return argv.includes('--resume') ? [] : ['--config', join(root, 'configs/debug-baseline.yaml')]
}

function eventsOf(run) {
  const lines = readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line))
}

/** Return the losses by step; their JSON text is equal only for bit-identical values. */
function lossesOf(events) {
  return events.flatMap((event) => (event.type === 'step' ? [[event.step, event.losses]] : []))
}

function weightsOf(run, step) {
  const folder = join(run, 'checkpoints', `step_${String(step).padStart(8, '0')}`)
  const script =
    'import sys, torch, hashlib; w = torch.load(sys.argv[1], weights_only=True)["state_dict"]; ' +
    'print(hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in sorted(w.items()))).hexdigest())'
  return spawnSync(python, ['-c', script, join(folder, 'model.pt')], { encoding: 'utf8' }).stdout.trim()
}

function startSaver() {
  const child = spawn(python, [join(here, 'saver.py')], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async ask(question) {
      child.stdin.write(`${JSON.stringify(question)}\n`)
      const answer = await lines.next()
      if (answer.done) throw new Error('saver.py has ended')
      return JSON.parse(answer.value)
    },
    close: () => child.stdin.end(),
  }
}

function flipBit(path) {
  const content = readFileSync(path)
  const bit = Math.floor(random() * content.length * 8)
  content[bit >> 3] ^= 1 << (bit & 7)
  writeFileSync(path, content)
  return bit
}

/** Return random numbers in [0, 1) of this seed. */
function randomNumbers(seed) {
  let count = 0
  return () => createHash('sha256').update(`${seed}/${count++}`).digest().readUInt32BE() / 2 ** 32
}
