#!/usr/bin/env node
/**
 * Stops a command in the ways that terminals, shells and machines do, at random moments: a key on a real terminal, a closed
 * terminal, a reader that exits, a suspension. Then checks that the step in hand was saved, that the resumed run is
 * bit-identical to an uninterrupted one, and that no process of the run is left after 3 s.
 *
 *     npm run build && scripts/faults/terminal [--row NAME ...] [--trials N] [--seed 0] [--at-once 2]
 *
 * Prints a table to stderr and JSON to stdout; exits with 1 when a row misses its value. In the row `control` a
 * copy of the package starts torchrun in the terminal's process group, as it once did: the campaign must find lost steps.
 */
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import {
  commandWorld,
  embedded,
  interruptedCases,
  interruptedEvaluation,
  interruptedScript,
} from './terminal-commands.mjs'
import { signalAll } from './terminal-session.mjs'
import {
  eventsOf,
  exitOf,
  installProject,
  lossesOf,
  newestCheckpoint,
  randomOf,
  runPlain,
  STARTS,
  STEPS,
  Trial,
} from './terminal-trial.mjs'

const CTRL_C = '\x03'
const CTRL_Z = '\x1a'
const HANG_SECONDS = 6
/** In turns, for all ways to start and both numbers of ranks. */
const MOMENTS = [
  'step',
  'start',
  'checkpoint',
  'step',
  'preparation',
  'step',
  'restart',
  'step',
  'step',
  'checkpoint',
]

/** Waits for a moment of a training. */
const MOMENT = {
  step: async (trial, random) => {
    await trial.step(1 + Math.floor(random() * STEPS * 0.6))
    await wait(random() * 50)
  },
  checkpoint: async (trial, random) => {
    await trial.step(1 + Math.floor(random() * STEPS * 0.4))
    await wait(random() * 50)
  },
  start: async (_trial, random) => {
    await wait(200 + random() * startUpMs)
  },
  preparation: async (trial, random) => {
    await trial.until('its Python', () =>
      trial.processes().some(({ command }) => /freetumor_runtime/.test(command)),
    )
    await wait(random() * 3000)
  },
  restart: async (trial, random) => {
    await trial.step(12 + Math.floor(random() * STEPS * 0.4))
    const ranks = trial.ranks()
    signalAll([ranks[Math.floor(random() * ranks.length)]], 'SIGKILL')
    await trial.until('the end of the attempt', () => existsSync(join(trial.run, 'failure.json')))
    // in the pause of 4 s, or in the start-up after it
    await wait(random() * 7000)
  },
}

/** Number of trials and the trial itself; each returns what it found, with `passed`. */
const ROWS = {
  presses: { trials: 60, run: press },
  hangup: { trials: 20, run: hangUp },
  reader: { trials: 20, run: readerExits },
  suspend: { trials: 20, run: suspend },
  nohup: { trials: 6, run: nohup },
  detach: { trials: 6, run: detach },
  second: { trials: 10, run: secondRequest },
  predict: { trials: 6, run: (...given) => cases('predict', ...given) },
  synthesize: { trials: 6, run: (...given) => cases('synthesize', ...given) },
  prepare: { trials: 6, run: (...given) => cases('prepare', ...given) },
  evaluate: {
    trials: 6,
    run: async (mark, _trial, random) => interruptedEvaluation(project, await world(), mark, random),
  },
  launch: {
    trials: 6,
    run: async (mark, _trial, random) => interruptedScript(project, await world(), mark, random),
  },
  library: {
    trials: 6,
    run: async (mark, _trial, random) => embedded(project, await world(), mark, random),
  },
  control: { trials: 6, run: withoutSeparation },
}

const { values } = parseArgs({
  options: {
    row: { type: 'string', multiple: true, default: Object.keys(ROWS) },
    trials: { type: 'string' },
    seed: { type: 'string', default: '0' },
    'at-once': { type: 'string', default: '2' },
  },
})
const unknown = values.row.filter((name) => !(name in ROWS))
if (unknown.length > 0) {
  console.error(`--row: unknown row ${unknown.join(', ')} (expected ${Object.keys(ROWS).join(', ')})`)
  process.exit(2)
}

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'freetumor-terminal-')))
const project = installProject(join(folder, 'project'))
const references = new Map()
let commandInputs = null
let control = null
/** From the start of the command to the first step. */
let startUpMs = 0
const report = {
  seed: values.seed,
  machine: { cores: cpus().length, loadAverage: loadavg().map((value) => Number(value.toFixed(1))) },
  rows: {},
}
try {
  for (const name of values.row) report.rows[name] = await runRow(name)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
console.error(tableOf(report.rows))
console.log(JSON.stringify(report, null, 2))
process.exitCode = Object.values(report.rows).every(({ held }) => held) ? 0 : 1

/** Run all trials of a row, a few at the same time. A trial whose command ended before its moment came is drawn again. */
async function runRow(name) {
  const { trials, run } = ROWS[name]
  const wanted = Number(values.trials ?? trials)
  const results = []
  const started = performance.now()
  let next = 0
  const worker = async () => {
    while (next < wanted) {
      const trial = next++
      results.push(await drawn(name, trial, run))
    }
  }
  // made before the trials share the machine
  await (name === 'control' ? null : Promise.resolve(reference(1)).then(() => reference(2)))
  await Promise.all(Array.from({ length: Number(values['at-once']) }, worker))
  results.sort((a, b) => a.trial - b.trial)
  const count = (key) => results.filter((result) => result[key]).length
  const passed = count('passed')
  return {
    trials: wanted,
    passed,
    saved: count('saved'),
    identical: count('identical'),
    survivors: results.reduce((sum, { survivors = 0 }) => sum + survivors, 0),
    seconds: Math.round((performance.now() - started) / 1000),
    // a control passes when most of its presses lose work
    held: name === 'control' ? passed > wanted / 2 : passed === wanted,
    results,
  }
}

async function drawn(name, trial, run) {
  for (let attempt = 0; ; attempt++) {
    const random = randomOf(values.seed, name, `${trial}.${attempt}`)
    const mark = `${name}-${trial}-${attempt}-${process.pid}`
    let result
    try {
      result = await run(mark, trial, random)
    } catch (error) {
      result = { passed: false, error: String(error.message) }
    }
    if (result.tooLate && attempt < 19) continue
    const { passed = false } = result
    const { said, text, ...shown } = result
    console.error(
      `${passed ? 'passed' : 'FAILED'} ${name} ${trial} ${JSON.stringify(passed ? shown : result)}`,
    )
    return { trial, ...(passed ? shown : result) }
  }
}

/** Ctrl-C: all ways to start, both numbers of ranks, all moments. */
function press(mark, trial, random) {
  const ranks = 1 + (trial % 2)
  const start = Object.keys(STARTS)[Math.floor(trial / 2) % 3]
  // 60 trials are every moment of every kind, and already the first ones differ in both
  const moment = MOMENTS[(7 * trial + Math.floor(trial / 6)) % MOMENTS.length]
  return stopOnce(project, mark, random, {
    ranks,
    start,
    moment,
    strike: (terminal) => terminal.press(CTRL_C),
  })
}

/** The terminal is closed: SIGHUP. */
function hangUp(mark, trial, random) {
  const moment = ['step', 'step', 'checkpoint', 'start', 'step'][Math.floor(trial / 2) % 5]
  const strike = (terminal) => terminal.hangUp()
  return stopOnce(project, mark, random, { ranks: 1 + (trial % 2), start: 'node', moment, strike })
}

async function stopOnce(where, mark, random, { ranks, start, moment, strike, around }) {
  const trial = new Trial(where, mark)
  const settings = settingsOf(ranks)
  if (moment === 'checkpoint') settings.push('training.checkpointEverySteps=2')
  if (moment === 'restart') settings.push('training.checkpointEverySteps=10')
  if (moment === 'preparation') settings.push(`prepare.cache=${join(where.folder, mark, 'cache')}`)
  const facts = { ranks, start, moment }
  try {
    const terminal = trial.start(STARTS[start](where), settings, { around })
    await MOMENT[moment](trial, random)
    if (terminal.hasEnded) return { tooLate: true }
    strike(terminal)
    const end = await trial.end()
    if (exitOf(trial.run)?.outcome === 'completed') return { tooLate: true }
    const stopped = trial.stopped(moment)
    // before the run has a folder there is nothing to save, and the signal may end Node as it ends any program
    const saved = stopped.saved || (moment === 'start' && !stopped.begun)
    const exitOk = start !== 'node' || around !== undefined || end.code === 75 || !stopped.begun
    const { resumed, losses, text } = await trial.resume(settings)
    const identical = losses === (await reference(ranks))
    const passed = saved && exitOk && resumed === 0 && identical && end.survivors === 0
    return {
      ...facts,
      ...end,
      ...stopped,
      saved,
      exitOk,
      resumed,
      identical,
      passed,
      text,
      said: terminal.text.slice(-400),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

/** `| head`, `2>&1 | head`, and `2>&1 | tee` with Ctrl-C. */
async function readerExits(mark, trial, random) {
  const kind = ['ndjson | head', '2>&1 | head', '2>&1 | tee, Ctrl-C'][trial % 3]
  const ranks = 1 + (Math.floor(trial / 3) % 2)
  const rc = join(project.folder, `${mark}.rc`)
  const lines = 1 + Math.floor(random() * (trial % 3 === 0 ? 60 : 3))
  const redirect = trial % 3 === 0 ? '' : ' 2>&1'
  const reader = trial % 3 === 2 ? `tee ${rc}.log` : `head -n ${lines}`
  const pipeline = `{ "$@"; echo $? > ${rc}; }${redirect} | ${reader}`
  const around = (argv) => ['sh', '-c', pipeline, 'sh', ...argv]
  if (trial % 3 === 2) {
    const strike = (terminal) => terminal.press(CTRL_C)
    return {
      kind,
      ...(await stopOnce(project, mark, random, { ranks, start: 'node', moment: 'step', strike, around })),
    }
  }
  const flags = trial % 3 === 0 ? ['--output', 'ndjson'] : []
  const found = await toItsEnd(mark, ranks, { around, flags })
  const code = Number(readOr(rc, '-1'))
  return { kind, lines, ...found, code, passed: found.passed && code === 0 }
}

/** Ctrl-Z and `fg`; SIGSTOP and SIGCONT to all processes; the same to Node alone. For longer than hangSeconds. */
async function suspend(mark, trial, random) {
  const kind = ['Ctrl-Z', 'all processes', 'Node'][trial % 3]
  const ranks = 1 + (Math.floor(trial / 3) % 2)
  const settings = [`runtime.hangSeconds=${HANG_SECONDS}`]
  const during = async (running, terminal) => {
    await running.step(1 + Math.floor(random() * STEPS * 0.6))
    const longEnough = (HANG_SECONDS + 2 + random() * 4) * 1000
    const chosen = { 'Ctrl-Z': [], 'all processes': running.processes(), Node: running.nodes() }[kind]
    if (kind === 'Ctrl-Z') terminal.press(CTRL_Z)
    signalAll(chosen, 'SIGSTOP')
    await terminal.suspended()
    await wait(longEnough)
    signalAll(chosen, 'SIGCONT')
    // the shell took the terminal back when its job was suspended
    terminal.foreground()
  }
  return { kind, ...(await toItsEnd(mark, ranks, { settings, during, wantedCode: 0 })) }
}

async function nohup(mark, trial, random) {
  const during = async (running, terminal) => {
    await running.step(1 + Math.floor(random() * STEPS * 0.6))
    terminal.hangUp()
  }
  return toItsEnd(mark, 1 + (trial % 2), { around: (argv) => ['nohup', ...argv], during, wantedCode: 0 })
}

/** The terminal is closed after `--detach` has returned, or while it still waits for the run to start. */
async function detach(mark, trial, _random) {
  const early = trial % 2 === 1
  const during = async (running, terminal) => {
    if (early) await running.until('the run', () => existsSync(join(running.run, 'logs/console.log')))
    else await terminal.ended
    terminal.hangUp()
    const from = performance.now()
    while (exitOf(running.run) === null && performance.now() - from < 240_000) await wait(50)
  }
  const found = await toItsEnd(mark, 1 + (Math.floor(trial / 2) % 2), { flags: ['--detach'], during })
  return { early, ...found }
}

/** A training that nothing may end before its last step. */
async function toItsEnd(
  mark,
  ranks,
  { settings = [], around, flags, during = async () => {}, wantedCode = null },
) {
  const trial = new Trial(project, mark)
  try {
    const terminal = trial.start(STARTS.node(project), [...settingsOf(ranks), ...settings], { around, flags })
    await during(trial, terminal)
    const end = await trial.end()
    const exit = exitOf(trial.run)
    const restarts = eventsOf(trial.run).filter(({ type }) => type === 'restart').length
    const saved = exit?.outcome === 'completed' && newestCheckpoint(trial.run) === STEPS
    const identical = lossesOf(trial.run) === (await reference(ranks))
    const codeOk = wantedCode === null || end.code === wantedCode
    return {
      ranks,
      ...end,
      outcome: exit?.outcome,
      reason: exit?.reason,
      restarts,
      saved,
      identical,
      passed: saved && identical && restarts === 0 && codeOk && end.survivors === 0,
      said: terminal.text.slice(-400),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

/** A second Ctrl-C or SIGTERM, while the ranks cannot finish their step: the end comes at once, and nothing is left. */
async function secondRequest(mark, number, random) {
  const trial = new Trial(project, mark)
  const ranks = 1 + (number % 2)
  const second = Math.floor(number / 2) % 2 === 0 ? 'Ctrl-C' : 'SIGTERM'
  try {
    const terminal = trial.start(STARTS.node(project), settingsOf(ranks))
    await trial.step(1 + Math.floor(random() * STEPS * 0.6))
    signalAll(trial.ranks(), 'SIGSTOP')
    terminal.press(CTRL_C)
    await trial.until('the answer to the first request', () => /stopping/.test(terminal.text))
    await wait(1000 + random() * 1000)
    const pressed = performance.now()
    if (second === 'Ctrl-C') terminal.press(CTRL_C)
    else signalAll(trial.nodes(), 'SIGTERM')
    const end = await trial.end()
    const secondsToEnd = Number(((performance.now() - pressed) / 1000 - 3).toFixed(1))
    const saved = end.code === (second === 'Ctrl-C' ? 130 : 143)
    const passed = saved && end.survivors === 0 && secondsToEnd < 10
    return {
      ranks,
      second,
      ...end,
      secondsToEnd,
      saved,
      identical: true,
      passed,
      said: terminal.text.slice(-300),
    }
  } finally {
    trial.abandon()
    trial.remove()
  }
}

async function cases(name, mark, _trial, random) {
  return interruptedCases(project, await world(), mark, name, random)
}

/** The old way to start torchrun, in the terminal's process group and open to its signals: the press must lose work. */
async function withoutSeparation(mark, trial, random) {
  const other = controlProject()
  const strike = (terminal) => terminal.press(CTRL_C)
  const found = await stopOnce(other, mark, random, {
    ranks: 1 + (trial % 2),
    start: 'node',
    moment: 'step',
    strike,
  })
  return found.tooLate ? found : { ...found, passed: !found.saved }
}

function controlProject() {
  control ??= installProject(join(folder, 'control'), (installed) => {
    const undo = (file, protection, instead) => {
      const path = join(installed, file)
      const text = readFileSync(path, 'utf8')
      if (!text.includes(protection))
        throw new Error(`${file}: expected ${protection}, found nothing like it`)
      writeFileSync(path, text.replace(protection, instead))
    }
    const python = 'python_runtime/freetumor_runtime'
    undo('dist/runtime/process.js', 'detached: true', 'detached: false')
    undo(`${python}/bridge/lifeline.py`, 'for name in ("SIGINT", "SIGHUP", "SIGUSR2")', 'for name in ()')
    undo(`${python}/training/boundary.py`, '("SIGTERM", "SIGINT", "SIGUSR2")', '("SIGTERM",)')
  })
  return control
}

function settingsOf(ranks) {
  return [`runtime.processesPerNode=${ranks}`]
}

/** Losses of the uninterrupted run with this number of ranks. */
function reference(ranks) {
  if (!references.has(ranks)) references.set(ranks, makeReference(ranks))
  return references.get(ranks)
}

async function makeReference(ranks) {
  const run = join(folder, 'project', `reference-${ranks}`)
  const began = Date.now()
  const argv = ['train', '--config', 'config.yaml', '--out', run, '--set', ...settingsOf(ranks)]
  const done = await runPlain(project, argv)
  if (done.code !== 0) throw new Error(`the uninterrupted run failed: ${done.text}`)
  const first = eventsOf(run).find(({ type }) => type === 'step')
  startUpMs = Date.parse(first.time) - began
  return lossesOf(run)
}

function world() {
  commandInputs ??= reference(1).then(() => commandWorld(project, join(folder, 'project/reference-1')))
  return commandInputs
}

function readOr(path, otherwise) {
  return existsSync(path) ? readFileSync(path, 'utf8') : otherwise
}

function tableOf(rows) {
  const head = ['row', 'trials', 'passed', 'saved', 'identical', 'survivors', 'seconds', '']
  const lines = Object.entries(rows).map(([name, row]) => [
    ...[name, row.trials, row.passed, row.saved, row.identical, row.survivors, row.seconds],
    row.held ? 'held' : 'FAILED',
  ])
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell) => String(cell).padEnd(11))
        .join('')
        .trimEnd(),
    )
    .join('\n')
}
