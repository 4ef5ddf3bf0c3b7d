import { spawn } from 'node:child_process'
import { constants, existsSync } from 'node:fs'
import { access, mkdir, stat } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import { refusePnp } from './pnp.js'
import { readState, recordedPython, STATE_FILE, UNFINISHED_FILE } from './runtime-record.js'

/** Folder of package.json, configs/ and python_runtime/; the same from src/ and from dist/. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

/** The folder of the Python package; PYTHONPATH of every Python that we start. */
export const runtimeFolder = join(packageRoot, 'python_runtime')

type Environment = Readonly<Record<string, string | undefined>>

export interface ResolvePythonOptions {
  /** Default: the working directory of this process. */
  readonly cwd?: string
  /** The configuration's `runtime.python` or a `--python` flag. */
  readonly explicit?: string | undefined
  /** Default: that of this process. */
  readonly env?: Environment
}

/** The runtime of the package itself: whoever may write there may change our code, too. */
export const ownRuntime = join(packageRoot, '.venv')

/**
 * The Python that runs the models, an absolute path: the explicit one, else FREETUMOR_PYTHON, else the runtime in `./.venv`
 * if `freetumor setup` recorded it for this user, else the one beside the package.
 * @throws EnvironmentError when there is none, its set-up was cut off, or nobody vouches for the only one
 */
export function resolvePython(options: ResolvePythonOptions = {}): string {
  const { cwd = process.cwd(), explicit, env = process.env } = options
  refusePnp()
  if (explicit) return existing(explicit, cwd, env, 'the configured Python')
  if (env.FREETUMOR_PYTHON) return existing(env.FREETUMOR_PYTHON, cwd, env, 'FREETUMOR_PYTHON')
  const here = resolve(cwd, '.venv')
  const python = (here !== ownRuntime && pythonOf(here, recordedPython(here, env))) || pythonOfPackage()
  if (python) return python
  if (here !== ownRuntime && holdsPython(here)) throw untrustedRuntime(here)
  const folders = [...new Set([here, ownRuntime])]
  throw new EnvironmentError(`no Python runtime was found in ${folders.join(' or ')}`, {
    hint: 'run `freetumor setup`, or name a Python that has the packages with FREETUMOR_PYTHON or `runtime.python`',
  })
}

/** Whether something in the folder would be run if it were trusted. */
export function holdsPython(folder: string): boolean {
  return existsSync(join(folder, 'bin', 'python')) || existsSync(join(folder, STATE_FILE))
}

/** The error of a runtime folder that came from elsewhere, or from an earlier version. */
export function untrustedRuntime(folder: string): EnvironmentError {
  return new EnvironmentError(
    `${folder} is not trusted: \`freetumor setup\` did not record it for this user`,
    {
      hint: `if you trust its programs, run \`freetumor setup --venv ${folder}\`; if not, remove it or set FREETUMOR_PYTHON`,
    },
  )
}

function pythonOfPackage(): string | undefined {
  return pythonOf(ownRuntime, readState(ownRuntime)?.python ?? join(ownRuntime, 'bin', 'python'))
}

/** The interpreter of a trusted runtime folder; undefined when the folder holds none. */
function pythonOf(folder: string, python: string | undefined): string | undefined {
  const hint = { hint: 'run `freetumor setup` again' }
  if (existsSync(join(folder, UNFINISHED_FILE)))
    throw new EnvironmentError(`the set-up of ${folder} was not finished`, hint)
  if (python === undefined || existsSync(python)) return python
  if (!existsSync(join(folder, STATE_FILE))) return undefined
  throw new EnvironmentError(`${python}, recorded for ${folder}, is gone`, hint)
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
  /** Environment to start from. Default: that of this process. */
  readonly env?: Environment
}

/**
 * The environment of a Python child: ours without what another launcher (torchrun, a cluster's) or another Python left
 * there, and with the runtime package on its path.
 * @throws EnvironmentError when the folder of the package cannot stand in PYTHONPATH
 */
export function cleanEnvironment({ threads, env = process.env }: ChildEnvironment): Record<string, string> {
  if (runtimeFolder.includes(delimiter)) throw unusableFolder(packageRoot)
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !isForeign(entry[0]),
  )
  return {
    ...Object.fromEntries(kept),
    ...userName(env),
    PYTHONPATH: runtimeFolder,
    // `python -m` would import modules of the working directory, which may be anybody's, before those installed
    PYTHONSAFEPATH: '1',
    PYTHONUNBUFFERED: '1',
    OMP_NUM_THREADS: String(threads),
    // Large tensors in huge pages where the system offers them: a network's fresh pages cost up to a quarter of its time.
    THP_MEM_ALLOC_ENABLE: env.THP_MEM_ALLOC_ENABLE ?? '1',
    // Without it torchrun's store keeps addresses of dead ranks, and a restart may hang.
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE: '1',
  }
}

/**
 * Return a folder of this user's own for PyTorch's compiled code. PyTorch's default is a folder of a name that everyone
 * knows in /tmp: another user could make it first, and the code that lies in it is run.
 * @param otherwise where there is no home folder to write to
 */
export async function compilerCache(otherwise: string, env: Environment = process.env): Promise<string> {
  if (env.TORCHINDUCTOR_CACHE_DIR) return env.TORCHINDUCTOR_CACHE_DIR
  try {
    const folder = join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'freetumor', 'torchinductor')
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await access(folder, constants.W_OK)
    if ((await stat(folder)).uid === process.getuid?.()) return folder
  } catch {
    // no home folder, or none to write to
  }
  return otherwise
}

export function unusableFolder(folder: string): EnvironmentError {
  return new EnvironmentError(
    `${folder}: Python cannot import from a folder with "${delimiter}" in its path`,
    {
      hint: `install freetumor in a folder without "${delimiter}"`,
    },
  )
}

/** Python's `getpass.getuser()`, which PyTorch and MONAI call, needs an account or one of these variables. */
function userName(env: Environment): Record<string, string> {
  if (['LOGNAME', 'USER', 'LNAME', 'USERNAME'].some((name) => env[name])) return {}
  try {
    userInfo()
    return {}
  } catch {
    return { LOGNAME: `uid-${process.getuid?.()}` }
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

/** Facts that an interpreter reports. */
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
  const { PYTHONPATH: _, ...env } = cleanEnvironment({ threads: 1 })
  const child = spawn(path, ['-c', PROBE], {
    env,
    cwd: '/',
    timeout: 60_000,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C is for us, and `signal` ends it
    detached: true,
  })
  const release = onAbort(signal, () => void child.kill('SIGKILL'))
  const [error, stdout, stderr] = await Promise.all([
    new Promise<Error | null>((resolve) => child.once('error', resolve).once('close', () => resolve(null))),
    text(child.stdout),
    text(child.stderr),
  ]).finally(release)
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
