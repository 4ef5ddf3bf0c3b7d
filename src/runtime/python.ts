import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import { refusePnp } from './pnp.js'

/** Where package.json, configs/ and python_runtime/ lie; the same from src/ and from dist/. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

/** The folder of the Python package; PYTHONPATH of every Python that we start. */
export const runtimeFolder = join(packageRoot, 'python_runtime')

/** Name of the file in a runtime's folder that says that its set-up was finished, and with what. */
export const STATE_FILE = 'freetumor-runtime.json'

/** Name of the file in a runtime's folder while its set-up is under way (or was cut off). */
export const UNFINISHED_FILE = 'freetumor-setup.unfinished'

type Environment = Readonly<Record<string, string | undefined>>

export interface ResolvePythonOptions {
  /** Default: the working directory of this process. */
  readonly cwd?: string
  /** The configuration's `runtime.python` or a `--python` flag. */
  readonly explicit?: string | undefined
  /** Default: that of this process. */
  readonly env?: Environment
}

/**
 * The Python that runs the models, an absolute path: the explicit one, else FREETUMOR_PYTHON, else the runtime that
 * `freetumor setup` made or recorded in `./.venv`, else the one beside the package.
 * @throws EnvironmentError when there is none, or its set-up was cut off
 */
export function resolvePython(options: ResolvePythonOptions = {}): string {
  const { cwd = process.cwd(), explicit, env = process.env } = options
  refusePnp()
  if (explicit) return existing(explicit, cwd, env, 'the configured Python')
  if (env.FREETUMOR_PYTHON) return existing(env.FREETUMOR_PYTHON, cwd, env, 'FREETUMOR_PYTHON')
  const folders = [...new Set([resolve(cwd, '.venv'), join(packageRoot, '.venv')])]
  for (const folder of folders) {
    const python = pythonOfRuntime(folder)
    if (python) return python
  }
  throw new EnvironmentError(`no Python runtime was found in ${folders.join(' or ')}`, {
    hint: 'run `freetumor setup`, or name a Python that has the packages with FREETUMOR_PYTHON or `runtime.python`',
  })
}

/** The interpreter of a runtime folder; undefined when the folder holds none. */
function pythonOfRuntime(folder: string): string | undefined {
  const hint = { hint: 'run `freetumor setup` again' }
  if (existsSync(join(folder, UNFINISHED_FILE)))
    throw new EnvironmentError(`the set-up of ${folder} was not finished`, hint)
  const own = join(folder, 'bin', 'python')
  const python = recordedPython(folder) ?? own
  if (existsSync(python)) return python
  if (python === own) return undefined
  throw new EnvironmentError(`${python}, recorded in ${join(folder, STATE_FILE)}, is gone`, hint)
}

function recordedPython(folder: string): string | undefined {
  try {
    const state = JSON.parse(readFileSync(join(folder, STATE_FILE), 'utf8')) as { python?: unknown }
    return typeof state.python === 'string' ? state.python : undefined
  } catch {
    return undefined // a folder without a record, or with a damaged one, is judged by what lies in it
  }
}

function existing(path: string, cwd: string, env: Environment, what: string): string {
  const found = /[\\/]/.test(path) ? resolve(cwd, path) : onPath(path, env)
  if (found && existsSync(found)) return found
  throw new EnvironmentError(`${what} does not exist: ${path}`, {
    hint: 'give the path of a Python 3.11 or 3.12 executable, or run `freetumor setup`',
  })
}

function onPath(name: string, env: Environment): string | undefined {
  const folders = (env.PATH ?? '').split(delimiter).filter(isAbsolute)
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file))
}

const KEPT_PYTHON_VARIABLES = new Set([
  'PYTHONDONTWRITEBYTECODE',
  'PYTHONFAULTHANDLER',
  'PYTHONPYCACHEPREFIX',
  'PYTHONWARNINGS',
])
const LAUNCHER_VARIABLES =
  /^(RANK|LOCAL_RANK|GROUP_RANK|ROLE_RANK|ROLE_NAME|WORLD_SIZE|LOCAL_WORLD_SIZE|GROUP_WORLD_SIZE|ROLE_WORLD_SIZE|MASTER_.*|TORCHELASTIC_.*|TORCH_ELASTIC_.*|TORCHRUN_.*|PET_.*|NODE_CHANNEL_.*)$/

export interface ChildEnvironment {
  /** OMP_NUM_THREADS of the child: the threads of a computation belong to its run, not to the machine. */
  readonly threads: number
  /** What to start from. Default: that of this process. */
  readonly env?: Environment
}

/**
 * The environment of a Python child: ours without what another launcher (torchrun, a cluster's) or another Python left
 * there, and with the runtime package on its path.
 */
export function cleanEnvironment({ threads, env = process.env }: ChildEnvironment): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !isForeign(entry[0]),
  )
  return {
    ...Object.fromEntries(kept),
    PYTHONPATH: runtimeFolder,
    PYTHONUNBUFFERED: '1',
    OMP_NUM_THREADS: String(threads),
    // Large tensors in huge pages where the system offers them: a network's fresh pages cost up to a quarter of its time.
    THP_MEM_ALLOC_ENABLE: env.THP_MEM_ALLOC_ENABLE ?? '1',
    // Without it torchrun's store keeps addresses of dead ranks, and a restart may hang.
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE: '1',
  }
}

/** The environment of somebody's own script: ours without what another launcher left there; their Python's settings stay. */
export function scriptEnvironment({ threads, env = process.env }: ChildEnvironment): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !LAUNCHER_VARIABLES.test(entry[0]),
  )
  return {
    ...Object.fromEntries(kept),
    OMP_NUM_THREADS: String(threads),
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE: '1',
  }
}

function isForeign(name: string): boolean {
  if (name.startsWith('PYTHON') && !name.startsWith('PYTHON_')) return !KEPT_PYTHON_VARIABLES.has(name)
  return LAUNCHER_VARIABLES.test(name) || name === '__PYVENV_LAUNCHER__' || name === 'VIRTUAL_ENV'
}

/** What an interpreter says of itself. */
export interface PythonFacts {
  /** Its own name for itself: absolute; inside a virtual environment the environment's. */
  readonly executable: string
  /** For instance `3.11.7`. */
  readonly version: string
  /** Installed distributions, name (lower case, dashes) to version; empty before Python 3.8. */
  readonly packages: Readonly<Record<string, string>>
}

// Runs on any Python, so that a wrong one can be named. Importing nothing but metadata keeps it at a tenth of a second.
const PROBE = `
import json, re, sys
try:
    from importlib import metadata
    found = dict((re.sub(r"[-_.]+", "-", d.metadata["Name"] or "").lower(), d.version) for d in metadata.distributions())
except ImportError:
    found = {}
print(json.dumps({"executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3], "packages": found}))
`

/**
 * Asks an interpreter for its version and packages.
 * @throws EnvironmentError when it does not exist, does not run or is no Python
 */
export async function inspectPython(path: string, signal?: AbortSignal): Promise<PythonFacts> {
  signal?.throwIfAborted()
  const { PYTHONPATH: _, ...clean } = cleanEnvironment({ threads: 1 })
  const env = { ...clean, PYTHONSAFEPATH: '1' }
  const { error, stdout, stderr } = await new Promise<{
    error: Error | null
    stdout: string
    stderr: string
  }>((done) => {
    const options = { env, cwd: '/', timeout: 60_000, killSignal: 'SIGKILL' as const }
    const child = execFile(path, ['-c', PROBE], options, (failure, out, err) => {
      release()
      done({ error: failure, stdout: out, stderr: err })
    })
    const release = onAbort(signal, () => void child.kill('SIGKILL'))
  })
  signal?.throwIfAborted()
  const facts = error ? undefined : parseFacts(stdout)
  if (facts) return facts
  const reason =
    lastLine(stderr) ?? (error as NodeJS.ErrnoException | null)?.code ?? 'it did not answer as Python does'
  throw new EnvironmentError(`${path} cannot be used as Python: ${reason}`, {
    hint: 'give the path of a Python 3.11 or 3.12 executable',
    cause: error ?? undefined,
  })
}

function parseFacts(stdout: string): PythonFacts | undefined {
  try {
    const facts = JSON.parse(stdout) as Partial<PythonFacts>
    return typeof facts.version === 'string' && facts.packages ? (facts as PythonFacts) : undefined
  } catch {
    return undefined
  }
}

function lastLine(text: string): string | undefined {
  return text.trim().split('\n').at(-1)?.trim() || undefined
}
