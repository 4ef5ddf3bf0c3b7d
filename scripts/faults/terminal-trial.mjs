/** Trials of the campaign `terminal`: an installed package, a training on a terminal, and the judgement of its end. */

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openTerminal, processesOf, signalAll } from './terminal-session.mjs'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
export const python = process.env.FREETUMOR_PYTHON ?? join(root, '.venv/bin/python')
/** Steps of every training: they take a few seconds on an idle machine. */
export const STEPS = 80
/** A trial that takes longer than this for one thing is counted as hung. */
const LIMIT_MS = 240_000
const LOOK_MS = 10

const CONFIG = `job: baseline
name: terminal
region: abdomen
data:
  root: .freetumor/phantoms
  phantoms: { labelledCases: 2, validationCases: 1, hostCases: 1, testCases: 1, sizeVoxels: 48, seed: 1 }
  datasets:
    - { name: phantom_labelled }
sampling: { patchVoxels: [24, 24, 24], cropsPerVolume: 1, itemsPerStep: 2, tumorOdds: 0.8, negativeOdds: 0.2, mixing: false, workers: 1 }
networks: { segmentor: { kind: small, featureSize: 8, levels: 2 } }
training: { steps: ${STEPS}, learningRate: 0.006, warmupSteps: 5, checkpointEverySteps: 10000, validateEverySteps: 10000 }
evaluation: { overlap: 0.25 }
runtime: { device: cpu, restarts: { max: 3, backoffSeconds: 4 } }
`

/** Random numbers in [0, 1) for one trial: the same for the same seed, row and number. */
export function randomOf(seed, row, trial) {
  let drawn = 0
  return () =>
    createHash('sha256').update(`${seed}/${row}/${trial}/${drawn++}`).digest().readUInt32BE() / 2 ** 32
}

/** A project that has the package installed, with the configuration of the trainings. `patch` changes the copy. */
export function installProject(folder, patch = () => {}) {
  const installed = join(folder, 'node_modules/freetumor')
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true })
  for (const part of ['dist', 'configs', 'proto', 'python_runtime/freetumor_runtime', 'package.json'])
    cpSync(join(root, part), join(installed, part), { recursive: true })
  for (const name of readdirSync(join(root, 'python_runtime')).filter((name) => name.endsWith('.txt')))
    cpSync(join(root, 'python_runtime', name), join(installed, 'python_runtime', name))
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'))
  const main = join(installed, 'dist/cli/main.js')
  chmodSync(main, 0o755)
  symlinkSync('../freetumor/dist/cli/main.js', join(folder, 'node_modules/.bin/freetumor'))
  const manifest = { name: 'terminal-trials', private: true, type: 'module', scripts: { x: 'freetumor' } }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  writeFileSync(join(folder, 'config.yaml'), CONFIG)
  patch(installed)
  return { folder, main }
}

/** The ways to start a command of the package. */
export const STARTS = {
  node: ({ main }) => [process.execPath, main],
  npx: () => ['npx', '--no-install', 'freetumor'],
  npm: () => ['npm', 'run', '--silent', 'x', '--'],
}

export function environmentOf(mark) {
  const { NODE_OPTIONS: _, ...rest } = process.env
  return { ...rest, FREETUMOR_PYTHON: python, FREETUMOR_TRIAL: mark, npm_config_update_notifier: 'false' }
}

/** Run a command of the package without a terminal, to its end. */
export function runPlain(project, argv, mark = 'plain') {
  const child = spawn(process.execPath, [project.main, ...argv], {
    cwd: project.folder,
    env: environmentOf(mark),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      text = (text + data).slice(-4000)
    })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, text })))
}

/** A training on a terminal: what a row needs to wait for moments and to judge the end. */
export class Trial {
  constructor(project, mark) {
    this.project = project
    this.mark = mark
    this.run = join(project.folder, mark, 'run')
    mkdirSync(dirname(this.run), { recursive: true })
  }

  /** Start the training. `around` may wrap the command line, e.g. in a pipeline of a shell. */
  start(how, settings, { around = (argv) => argv, flags = [] } = {}) {
    const set = settings.length > 0 ? ['--set', ...settings] : []
    const argv = [...how, 'train', '--config', 'config.yaml', '--out', this.run, ...flags, ...set]
    return this.open(around(argv))
  }

  open(argv) {
    this.terminal = openTerminal(argv, { cwd: this.project.folder, env: environmentOf(this.mark) })
    this.startedAt = performance.now()
    return this.terminal
  }

  /** Wait until `holds` returns something; null when the command ended first. Throws when it takes too long. */
  async until(what, holds) {
    for (const from = performance.now(); performance.now() - from < LIMIT_MS; await wait(LOOK_MS)) {
      const found = holds()
      if (found) return found
      if (this.terminal.hasEnded) return holds() || null
    }
    throw new Error(`hung: ${what}`)
  }

  step(number) {
    return this.until(`step ${number}`, () => lastStepOf(this.run) >= number)
  }

  processes() {
    return processesOf(this.mark)
  }

  ranks() {
    return this.processes().filter(({ environment }) => /(^|\0)LOCAL_RANK=/.test(environment))
  }

  /** Return the Node processes of the package, without npm's. */
  nodes() {
    return this.processes().filter(({ command }) => /(main\.js|bin\/freetumor) /.test(command))
  }

  /** Wait for the end of the command and of all that it started; counts what is left after 3 s. */
  async end() {
    const limit = wait(LIMIT_MS, 'hung', { ref: false })
    const how = await Promise.race([this.terminal.ended, limit])
    const hung = how === 'hung'
    // npm may end before its child: the final record of the run is exit.json
    const from = performance.now()
    while (!hung && this.nodes().length > 0 && performance.now() - from < LIMIT_MS) await wait(LOOK_MS)
    await wait(3000)
    const left = this.processes()
    signalAll(left, 'SIGCONT')
    signalAll(left, 'SIGKILL')
    this.terminal.close()
    return {
      code: hung ? null : how.code,
      signal: hung ? null : how.signal,
      hung,
      survivors: left.length,
      ...(left.length > 0 ? { left: left.map(({ command }) => command.slice(0, 120)) } : {}),
      seconds: Number(((performance.now() - this.startedAt) / 1000 - 3).toFixed(1)),
    }
  }

  /** End everything; for a trial that threw. */
  abandon() {
    signalAll(this.processes(), 'SIGCONT')
    signalAll(this.processes(), 'SIGKILL')
    this.terminal?.close()
  }

  /** Return the record of a stop in the run's folder. */
  stopped() {
    const { run } = this
    if (!existsSync(run)) return { saved: false, begun: false, reason: 'no run folder' }
    const exit = exitOf(run)
    if (exit === null) return { saved: false, begun: true, reason: 'no exit.json' }
    const step = lastStepOf(run) + 1
    const checkpoint = newestCheckpoint(run)
    const atStep =
      exit.step === 0 && step === 0 ? checkpoint === null || checkpoint === 0 : checkpoint === exit.step
    return {
      saved: exit.outcome === 'stopped' && exit.exitCode === 75 && atStep && exit.step === step,
      begun: true,
      outcome: exit.outcome,
      exitCode: exit.exitCode,
      exitStep: exit.step,
      stepsLogged: step,
      checkpoint,
      reason: exit.reason,
    }
  }

  /** Resume the run to its end; the result has the losses of every step. */
  async resume(settings) {
    const how = existsSync(this.run)
      ? ['--resume', this.run]
      : ['--config', 'config.yaml', '--out', this.run, ...(settings.length > 0 ? ['--set', ...settings] : [])]
    const done = await runPlain(this.project, ['train', ...how], `${this.mark}-resumed`)
    return {
      resumed: done.code,
      losses: lossesOf(this.run),
      text: done.code === 0 ? '' : done.text.slice(-400),
    }
  }

  remove() {
    rmSync(dirname(this.run), { recursive: true, force: true })
  }
}

export function exitOf(run) {
  try {
    return JSON.parse(readFileSync(join(run, 'exit.json'), 'utf8'))
  } catch {
    return null
  }
}

/** Return the step of the newest whole checkpoint: the one that `latest` names. */
export function newestCheckpoint(run) {
  try {
    const name = readFileSync(join(run, 'checkpoints/latest'), 'utf8').trim()
    return existsSync(join(run, 'checkpoints', name, 'model.pt')) ? Number(name.slice(-8)) : null
  } catch {
    return null
  }
}

export function eventsOf(run) {
  let text = ''
  try {
    text = readFileSync(join(run, 'events.jsonl'), 'utf8')
  } catch {
    return []
  }
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line)]
    } catch {
      return [] // a line that is being written
    }
  })
}

/** Return the newest step in the log, or -1. Reads only the end of the file, because callers poll it. */
export function lastStepOf(run) {
  let file
  try {
    file = openSync(join(run, 'events.jsonl'))
  } catch {
    return -1
  }
  try {
    const tail = Buffer.alloc(8192)
    const length = readSync(file, tail, 0, tail.length, Math.max(0, fstatSync(file).size - tail.length))
    const steps = [...tail.toString('utf8', 0, length).matchAll(/"type":"step","step":(\d+),.*\n/g)]
    return Number(steps.at(-1)?.[1] ?? -1)
  } finally {
    closeSync(file)
  }
}

/** Return the losses by step; their JSON text is equal only for bit-identical values. */
export function lossesOf(run) {
  return JSON.stringify(
    eventsOf(run).flatMap(({ type, step, losses }) => (type === 'step' ? [[step, losses]] : [])),
  )
}
