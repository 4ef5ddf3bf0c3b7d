import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { EnvironmentError } from '../errors.js'
import { holdsPython, inspectPython, ownRuntime, type PythonFacts, untrustedRuntime } from './python.js'
import {
  belowFloors,
  EXTRAS,
  FLOORS,
  isSupportedPython,
  offPins,
  PYTHON_WANTED,
  type Requirements,
  type RuntimeExtra,
  readRequirements,
} from './requirements.js'
import {
  prepareRecords,
  type RuntimeState,
  readState,
  recordedPython,
  recordRuntime,
  STATE_FILE,
  UNFINISHED_FILE,
  writeState,
} from './runtime-record.js'
import { abandonClaim, claimFolder, finishClaim, makeVenv, pipInstall, type StepOptions } from './venv.js'

export interface SetupOptions {
  /** Default: the working directory of this process. */
  readonly cwd?: string
  /** Default: the environment of this process. FREETUMOR_PYTHON in it overrides `python` and `venv`. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** An interpreter. It is adopted if its packages suffice, and used to create the runtime if it has neither torch nor MONAI. */
  readonly python?: string | undefined
  /**
   * Folder of the runtime, relative to `cwd`. Default: `.venv`. A named folder is trusted: otherwise, no program is run in a
   * folder that this user did not set up.
   */
  readonly venv?: string | undefined
  /** Install the packages of this repository's tests too. Default: false. */
  readonly dev?: boolean
  /** Install these optional parts too: `dicom` reads and writes DICOM, `wandb` writes runs for Weights & Biases. Default: none. */
  readonly extras?: readonly RuntimeExtra[]
  readonly signal?: AbortSignal
  /** Called with a message for each step. */
  readonly note?: (text: string) => void
  /** Folder of the requirements files. Default: the package's own. */
  readonly requirementsFolder?: string
}

export interface SetupResult {
  /** created: a new folder. updated: other package versions installed. reused: nothing to do. adopted: an existing Python. */
  readonly action: 'created' | 'updated' | 'reused' | 'adopted'
  /** Absolute path of the interpreter that every command uses. */
  readonly python: string
  readonly pythonVersion: string
  /** Versions of the main packages. */
  readonly packages: Readonly<Record<string, string>>
  readonly seconds: number
  /** The result in one or two sentences. */
  readonly summary: string
}

interface Task {
  readonly folder: string
  /** True if programs of the folder may be run. */
  readonly trusted: boolean
  readonly floors: Readonly<Record<string, string>>
  readonly wanted: Requirements
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal | undefined
  readonly note: (text: string) => void
}

interface Outcome {
  readonly action: SetupResult['action']
  readonly facts: PythonFacts
  readonly said: string
}

/**
 * Create the pinned Python runtime, reuse it, or adopt an existing Python. An interrupted set-up never counts as finished:
 * it starts again with an empty folder.
 * @throws EnvironmentError if Python is missing or has the wrong version, a package is too old, pip fails, or the folder
 *   cannot be written
 */
export async function setUpRuntime(options: SetupOptions = {}): Promise<SetupResult> {
  const started = performance.now()
  const { cwd = process.cwd(), env = process.env, dev = false, extras = [], note = () => {} } = options
  const folder = resolve(cwd, options.venv ?? '.venv')
  const task: Task = {
    folder,
    trusted: options.venv !== undefined || folder === ownRuntime || recordedPython(folder, env) !== undefined,
    floors: floorsOf(dev, extras),
    wanted: readRequirements({ dev, extras, folder: options.requirementsFolder }),
    env,
    signal: options.signal,
    note,
  }
  const at = (path: string): string => (path.includes('/') ? resolve(cwd, path) : path)
  const outcome = env.FREETUMOR_PYTHON
    ? await checkNamed(task, at(env.FREETUMOR_PYTHON))
    : await adoptOrMake(task, options.python === undefined ? undefined : at(options.python))
  return {
    action: outcome.action,
    python: outcome.facts.executable,
    pythonVersion: outcome.facts.version,
    packages: chosen(outcome.facts),
    seconds: Math.round(performance.now() - started) / 1000,
    summary: outcome.said,
  }
}

async function checkNamed(task: Task, path: string): Promise<Outcome> {
  const facts = await inspectSupported(path, task.signal)
  const lacking = lacks(task, facts)
  if (lacking.length > 0)
    throw new EnvironmentError(
      `FREETUMOR_PYTHON=${path}: packages are missing or too old: ${lacking.join(', ')}`,
      {
        hint: 'install these there, or unset FREETUMOR_PYTHON and run `freetumor setup`',
      },
    )
  const said = `FREETUMOR_PYTHON is set and overrides other settings: every command uses ${facts.executable} ${described(facts)}; nothing was installed.`
  return { action: 'adopted', facts, said }
}

async function adoptOrMake(task: Task, python: string | undefined): Promise<Outcome> {
  if (task.folder !== ownRuntime) prepareRecords(task.env)
  if (python === undefined) return (await reuse(task, true)) ?? make(task, await findPython(task))
  const facts = await inspectSupported(python, task.signal)
  const lacking = lacks(task, facts)
  if (lacking.length === 0) return adopt(task, facts)
  if (facts.packages.torch !== undefined || facts.packages.monai !== undefined)
    throw new EnvironmentError(`${python}: cannot be adopted: ${lacking.join(', ')}`, {
      hint: 'update these packages there, or name a Python 3.11 or 3.12 without torch and MONAI',
    })
  task.note(`${python} has neither torch nor MONAI: it creates a runtime in ${task.folder}`)
  return (await reuse(task, false)) ?? make(task, facts)
}

function adopt(task: Task, facts: PythonFacts): Outcome {
  record(task, writeState(task.folder, { version: 1, python: facts.executable, made: 'adopted' }))
  finishClaim(task.folder)
  const off = offPins(facts, task.wanted.pins)
  const differs = off.length === 0 ? 'exactly as pinned' : `not as pinned: ${off.join(', ')}`
  const file = join(task.folder, STATE_FILE)
  const said = `Adopted ${facts.executable} ${described(facts)}, recorded in ${file}; ${differs}.`
  return { action: 'adopted', facts, said }
}

/** Return an environment that can be used as it is, or undefined. */
async function reuse(task: Task, adoptedToo: boolean): Promise<Outcome | undefined> {
  const { folder } = task
  if (!existsSync(folder)) return undefined
  if (existsSync(join(folder, UNFINISHED_FILE))) {
    task.note(`an earlier set-up of ${folder} was not finished: it starts again`)
    return undefined
  }
  if (!task.trusted && holdsPython(folder)) throw untrustedRuntime(folder)
  const state = readState(folder)
  if (state?.made === 'adopted') return adoptedToo ? reuseAdopted(task, state) : undefined
  if (state) return reuseOwn(task, state)
  return existsSync(join(folder, 'bin', 'python')) ? reuseForeign(task) : refuseOccupied(folder)
}

/** Reuse a runtime that we created if its present packages match the pins: the pins or the packages may have changed. */
async function reuseOwn(task: Task, state: RuntimeState): Promise<Outcome | undefined> {
  const facts = await inspectPython(state.python, task.signal).catch(() => undefined)
  task.signal?.throwIfAborted()
  if (!facts || offPins(facts, task.wanted.pins).length > 0) return undefined
  record(task, state)
  return reused(facts, 'the runtime')
}

async function reuseAdopted(task: Task, state: RuntimeState): Promise<Outcome> {
  const { python } = state
  const facts = await inspectSupported(python, task.signal)
  const lacking = lacks(task, facts)
  if (lacking.length === 0) {
    record(task, state)
    return reused(facts, 'the adopted Python')
  }
  throw new EnvironmentError(
    `${python}: packages of the adopted Python are missing or too old: ${lacking.join(', ')}`,
    {
      hint: `install these there, or remove ${join(task.folder, STATE_FILE)} to create a runtime`,
    },
  )
}

/** Reuse an environment that the user created: adopt a complete one, fill an empty one, and change no other. */
async function reuseForeign(task: Task): Promise<Outcome | undefined> {
  const facts = await inspectSupported(join(task.folder, 'bin', 'python'), task.signal)
  const lacking = lacks(task, facts)
  if (lacking.length === 0) return adopt(task, facts)
  const others = Object.keys(facts.packages).filter((name) => !['pip', 'setuptools', 'wheel'].includes(name))
  if (others.length === 0) return undefined
  throw new EnvironmentError(`${task.folder}: an environment with other packages: ${lacking.join(', ')}`, {
    hint: 'choose another folder with --venv, or remove this one',
  })
}

function refuseOccupied(folder: string): undefined {
  if (readdirSync(folder).length === 0) return undefined
  throw new EnvironmentError(`${folder}: exists and is not a Python environment`, {
    hint: 'choose another folder with --venv',
  })
}

/** Record a runtime for this user. The package's own runtime needs no record: it is trusted as the package is. */
function record(task: Task, state: RuntimeState): void {
  if (task.folder !== ownRuntime) recordRuntime(task.folder, state, task.env)
}

function reused(facts: PythonFacts, what: string): Outcome {
  const said = `Nothing to do: ${what} ${facts.executable} ${described(facts)} is complete.`
  return { action: 'reused', facts, said }
}

async function make(task: Task, base: PythonFacts): Promise<Outcome> {
  const { folder, wanted, note } = task
  const python = join(folder, 'bin', 'python')
  const runId = await claimFolder(folder)
  try {
    const step: StepOptions = { runId, env: task.env, signal: task.signal, onLine: note }
    const existed = existsSync(python)
    note(`${existed ? 'bringing' : 'making'} ${folder} with Python ${base.version} (${base.executable})`)
    if (!existed) await makeVenv(base.executable, folder, step)
    note(`installing ${Object.keys(wanted.pins).length} pinned packages; torch is the large one`)
    await pipInstall(python, wanted, step)
    const facts = await inspectSupported(python, task.signal)
    const off = offPins(facts, wanted.pins)
    if (off.length > 0)
      throw new EnvironmentError(`${folder}: pip installed other versions: ${off.join(', ')}`, {
        hint: 'check `pip config list`, then run `freetumor setup` again',
      })
    record(task, writeState(folder, { version: 1, python, made: 'created' }))
    finishClaim(folder)
    const action = existed ? 'updated' : 'created'
    return { action, facts, said: `${existed ? 'Updated' : 'Made'} ${folder} ${described(facts)}.` }
  } catch (error) {
    abandonClaim(folder)
    throw error
  }
}

async function findPython(task: Task): Promise<PythonFacts> {
  const tried: string[] = []
  for (const name of ['python3.11', 'python3.12', 'python3', 'python']) {
    try {
      const facts = await inspectPython(name, task.signal)
      if (isSupportedPython(facts.version)) return facts
      tried.push(`${name} is ${facts.version}`)
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error
      tried.push(`${name} was not found`)
    }
  }
  throw new EnvironmentError(`Python ${PYTHON_WANTED} is needed: ${tried.join(', ')}`, {
    hint: 'install Python 3.11, or name one with `freetumor setup --python PATH`',
  })
}

async function inspectSupported(path: string, signal: AbortSignal | undefined): Promise<PythonFacts> {
  const facts = await inspectPython(path, signal)
  if (isSupportedPython(facts.version)) return facts
  throw new EnvironmentError(`${path}: wrong Python (expected ${PYTHON_WANTED}, found ${facts.version})`, {
    hint: 'name another Python with `freetumor setup --python PATH`',
  })
}

function lacks(task: Task, facts: PythonFacts): string[] {
  return belowFloors(facts, task.floors)
}

function floorsOf(dev: boolean, extras: readonly RuntimeExtra[]): Record<string, string> {
  const forTests = dev ? { pytest: '', ruff: '', 'grpcio-tools': '' } : {}
  return Object.assign({}, FLOORS, forTests, ...extras.map((extra) => EXTRAS[extra]))
}

function chosen(facts: PythonFacts): Record<string, string> {
  return Object.fromEntries(
    Object.keys(FLOORS).flatMap((name) => {
      const version = facts.packages[name]
      return version === undefined ? [] : [[name, version]]
    }),
  )
}

function described(facts: PythonFacts): string {
  const { torch = 'none', monai = 'none' } = facts.packages
  return `(Python ${facts.version}, torch ${torch}, MONAI ${monai})`
}
