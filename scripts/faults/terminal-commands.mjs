/** Rows of the campaign `terminal` for the commands that are no training. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { exitOf, lossesOf, newestCheckpoint, runPlain, STARTS, Trial } from './terminal-trial.mjs'

const CTRL_C = '\x03'
const TEXTURES = ['--set', 'simulation.texture.sizeVoxels=[112,112,112]', 'simulation.texture.count=2']
const LABEL_MAP = '1:1,2:2,3:3,4:4,5:5,6:6'

/** A script with two ranks that saves within its grace period, and leaves the rest to SIGTERM. */
const SCRIPT = `import os, signal, sys, time

def save(*_):
    time.sleep(1)
    open(sys.argv[1] + os.environ["RANK"], "w").close()
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    time.sleep(0.1)
`

/** A program that uses the package and does not handle signals. */
const PROGRAM = `import { loadConfig, train } from 'freetumor'
const [out, ...set] = process.argv.slice(2)
const run = train(await loadConfig('config.yaml', { set }), { out })
for await (const event of run) void event
console.log((await run.result).outcome)
`

/** Inputs of predict, synthesize and evaluate, and the results of each command without an interrupt. */
export async function commandWorld(project, checkpointRun) {
  const { folder } = project
  const data = join(folder, 'scans')
  const checkpoint = join(
    checkpointRun,
    'checkpoints',
    `step_${String(newestCheckpoint(checkpointRun)).padStart(8, '0')}`,
    'model.pt',
  )
  await expectDone(project, ['phantom', '--out', data, '--cases', '6', '--size', '64', '--seed', '5'])
  const scans = ['--images', join(data, 'imagesTr')]
  const labels = ['--labels', join(data, 'labelsTr')]
  const kind = ['--region', 'specialist', '--organs', 'liver', '--map', LABEL_MAP, '--variants', '4']
  const commands = {
    predict: (out) => ['predict', '--checkpoint', checkpoint, ...scans, '--out', out, '--threads', '1'],
    synthesize: (out) => ['synthesize', ...scans, ...labels, ...kind, ...TEXTURES, '--out', out],
    prepare: (out) => ['prepare', '--config', 'config.yaml', '--set', `prepare.cache=${out}`],
    evaluate: (out) => [
      ...['evaluate', '--predictions', join(folder, 'whole-predict'), ...labels],
      ...['--profile', 'lesion', '--nsd', '1,2', '--out', out],
    ],
  }
  const whole = {}
  for (const [name, argv] of Object.entries(commands)) {
    const out = join(folder, `whole-${name}`)
    const from = performance.now()
    await expectDone(project, argv(out))
    whole[name] = { files: digests(out), milliseconds: performance.now() - from }
  }
  const [script, program] = ['script.py', 'program.mjs'].map((name) => join(folder, name))
  writeFileSync(script, SCRIPT)
  writeFileSync(program, PROGRAM)
  return { commands, whole, script, program, losses: lossesOf(checkpointRun) }
}

/** predict, synthesize and prepare: the case in hand is dropped, exit 75, the same command resumes to the same files. */
export async function interruptedCases(project, world, mark, name, random) {
  const trial = new Trial(project, mark)
  const out = join(dirname(trial.run), 'out')
  const argv = world.commands[name](out)
  const { files, milliseconds } = world.whole[name]
  const wanted = Object.keys(files).length
  const start = Math.floor(random() * Object.keys(STARTS).length)
  try {
    const terminal = trial.open([...Object.values(STARTS)[start](project), ...argv])
    // half of the presses at any time, start-up included; half while files are written, which may be short
    const written = random() < 0.5 ? null : Math.floor(random() * wanted * 0.9)
    if (written === null) await wait(random() * milliseconds * 0.9)
    else {
      await trial.until(`${written} files`, () => Object.keys(digests(out, false)).length >= written)
      await wait(random() * 200)
    }
    const tooLate = terminal.hasEnded
    // before the command has a folder there is nothing to drop, and the signal may end Node as it ends any program
    const begun = existsSync(out)
    terminal.press(CTRL_C)
    const end = await trial.end()
    if (tooLate || end.code === 0) return { tooLate: true }
    const made = digests(out)
    const partial = Object.keys(made).filter(
      (path) => files[path] !== undefined && files[path] !== made[path],
    )
    const again = await runPlain(project, argv, `${mark}-resumed`)
    const identical = JSON.stringify(digests(out)) === JSON.stringify(files)
    const dead = end.signal === 'SIGINT' || end.code === 130
    const exitOk = end.code === 75 || (dead && (start !== 0 || !begun))
    return {
      start: Object.keys(STARTS)[start],
      written,
      ...end,
      saved: exitOk,
      partial,
      resumed: again.code,
      identical,
      ...(again.code === 0 ? {} : { text: again.text.slice(-400) }),
      passed: exitOk && partial.length === 0 && again.code === 0 && identical && end.survivors === 0,
      said: terminal.text.slice(-300),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

/** evaluate has nothing to resume: exit 130, and no result that is not whole. */
export async function interruptedEvaluation(project, world, mark, random) {
  const trial = new Trial(project, mark)
  const out = join(dirname(trial.run), 'out')
  try {
    const terminal = trial.open([...STARTS.node(project), ...world.commands.evaluate(out)])
    await trial.until('its Python', () =>
      trial.processes().some(({ command }) => /freetumor_runtime/.test(command)),
    )
    await wait(random() * world.whole.evaluate.milliseconds * 0.4)
    terminal.press(CTRL_C)
    const end = await trial.end()
    if (end.code === 0) return { tooLate: true }
    const files = Object.keys(digests(out))
    const passed = end.code === 130 && files.length === 0 && end.survivors === 0
    return {
      ...end,
      saved: end.code === 130,
      identical: files.length === 0,
      files,
      passed,
      said: terminal.text.slice(-300),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

/** launch: the script's ranks get SIGTERM and decide; the interrupt of the terminal does not reach them. */
export async function interruptedScript(project, { script }, mark, random) {
  const trial = new Trial(project, mark)
  const saved = join(dirname(trial.run), 'saved-')
  const ranks = 1 + Math.floor(random() * 2)
  try {
    const flags = ['--processes', String(ranks), '--python', process.env.FREETUMOR_PYTHON ?? 'python3']
    const argv = ['launch', ...flags, '--out', trial.run, '--stop-seconds', '20', '--', script, saved]
    const terminal = trial.open([...STARTS.node(project), ...argv])
    await trial.until('ranks that are ready', () => terminal.text.split('] ready').length > ranks)
    await wait(random() * 500)
    terminal.press(CTRL_C)
    const end = await trial.end()
    const files = Array.from({ length: ranks }, (_, rank) => existsSync(`${saved}${rank}`))
    const exit = exitOf(trial.run)
    const decided = files.every(Boolean)
    return {
      ranks,
      ...end,
      saved: decided,
      outcome: exit?.outcome,
      identical: exit?.outcome === 'stopped' && exit?.exitCode === 75,
      passed: decided && end.code === 75 && exit?.outcome === 'stopped' && end.survivors === 0,
      said: terminal.text.slice(-300),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

/** A program that uses the package and has no signal handler: SIGINT ends it, and its training with it. */
export async function embedded(project, { program, losses: expected }, mark, random) {
  const trial = new Trial(project, mark)
  try {
    const argv = [process.execPath, program, trial.run, 'training.checkpointEverySteps=10']
    const terminal = trial.open(argv)
    const step = 5 + Math.floor(random() * 60)
    await trial.step(step)
    terminal.press(CTRL_C)
    const end = await trial.end()
    if (end.code === 0) return { tooLate: true }
    const { resumed, losses, text } = await trial.resume([])
    const identical = losses === expected
    return {
      step,
      ...end,
      saved: end.signal === 'SIGINT',
      resumed,
      identical,
      text,
      passed: end.signal === 'SIGINT' && end.survivors === 0 && resumed === 0 && identical,
      said: terminal.text.slice(-300),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

async function expectDone(project, argv) {
  const done = await runPlain(project, argv)
  if (done.code !== 0) throw new Error(`${argv[0]} ended with ${done.code}: ${done.text}`)
}

/** Return hashes of the results below a folder: images and arrays, not logs, ledgers or reports with times in them. */
function digests(folder, hashed = true) {
  const found = {}
  const look = (path) => {
    let names = []
    try {
      names = readdirSync(join(folder, path)).sort()
    } catch {
      return // not there yet, or renamed meanwhile
    }
    for (const name of names) {
      const file = join(path, name)
      try {
        if (statSync(join(folder, file)).isDirectory()) look(file)
        else if (isResult(file))
          found[file] = hashed
            ? createHash('sha256')
                .update(readFileSync(join(folder, file)))
                .digest('hex')
            : ''
      } catch {
        // renamed meanwhile
      }
    }
  }
  look('')
  return found
}

function isResult(path) {
  return /\.nii\.gz$|\.zarr\/(image|label)\/|summary\.json$|\.csv$|\.tmp/.test(path)
}
