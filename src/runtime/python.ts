import { spawn } from 'node:child_process'
import { constants, existsSync } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import { quoted } from '../plain-text.js'
import { cannotBeRead } from '../system-errors.js'
import { makeFolder } from '../whole-file.js'
import { refusePnp } from './pnp.js'
import { readState, recordedPython, STATE_FILE, UNFINISHED_FILE } from './runtime-record.js'

/** Folder of package.json, configs/ and python_runtime/; the same for src/ and dist/. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url))

/** Folder of the Python package; PYTHONPATH of every Python that we start. */
export const runtimeFolder = join(packageRoot, 'python_runtime')

type Environment = Readonly<Record<string, string | undefined>>

export interface ResolvePythonOptions {
  /** Default: the working directory of this process. */
  readonly cwd?: string
  /** The configuration's `runtime.python` or a `--python` flag. */
  readonly explicit?: string | undefined
  /** Default: the environment of this process. */
  readonly env?: Environment
}

/** Runtime of the package itself. It is trusted: a user who can write there can also change our code. */
export const ownRuntime = join(packageRoot, '.venv')

/**
 * Return the absolute path of the Python that runs the models: the explicit one, else FREETUMOR_PYTHON, else the runtime in
 * `./.venv` if `freetumor setup` recorded it for this user, else the one next to the package.
 * @throws EnvironmentError if there is none, its set-up was interrupted, or the only one is not trusted
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

/** Return whether the folder holds programs that a trusted folder would run. */
export function holdsPython(folder: string): boolean {
  return existsSync(join(folder, 'bin', 'python')) || existsSync(join(folder, STATE_FILE))
}

/** Return the error of a runtime folder that this version did not set up for this user. */
export function untrustedRuntime(folder: string): EnvironmentError {
  return new EnvironmentError(
    `${folder} is not trusted: \`freetumor setup\` did not record it for this user`,
    {
      hint: `if you trust its programs, run \`freetumor setup --venv ${quoted(folder)}\`; if not, remove it or set FREETUMOR_PYTHON`,
    },
  )
}

function pythonOfPackage(): string | undefined {
  return pythonOf(ownRuntime, readState(ownRuntime)?.python ?? join(ownRuntime, 'bin', 'python'))
}

/** Return the interpreter of a trusted runtime folder; undefined if the folder holds none. */
function pythonOf(folder: string, python: string | undefined): string | undefined {
  const hint = { hint: 'run `freetumor setup` again' }
  if (existsSync(join(folder, UNFINISHED_FILE)))
    throw new EnvironmentError(`the set-up of ${folder} was not finished`, hint)
  if (python === undefined || existsSync(python)) return python
  if (!existsSync(join(folder, STATE_FILE))) return undefined
  throw new EnvironmentError(`${cannotBeRead(python, 'ENOENT', 'Python')} (recorded for ${folder})`, hint)
}

function existing(path: string, cwd: string, env: Environment, what: string): string {
  const found = /[\\/]/.test(path) ? resolve(cwd, path) : onPath(path, env)
  if (found && existsSync(found)) return found
  throw new EnvironmentError(`${what}: ${cannotBeRead(path, 'ENOENT', 'Python')}`, {
    hint: 'give the path of a Python 3.11 or 3.12 executable, or run `freetumor setup`',
  })
}

/** Return the path of a program in a folder of PATH. */
export function onPath(name: string, env: Environment = process.env): string | undefined {
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
  /** OMP_NUM_THREADS of the child: the run decides its threads, not the machine. */
  readonly threads: number
  /** Environment to start from. Default: that of this process. */
  readonly env?: Environment
}

/**
 * Return the environment of a Python child: ours without variables of another launcher (torchrun, a cluster) or another
 * Python, and with the runtime package on its path.
 * @throws EnvironmentError if PYTHONPATH cannot hold the folder of the package
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
    // without it, `python -m` imports modules of the untrusted working directory before the installed ones
    PYTHONSAFEPATH: '1',
    PYTHONUNBUFFERED: '1',
    OMP_NUM_THREADS: String(threads),
    // Large tensors in huge pages, if the system has them: page faults take up to a quarter of a network's time.
    THP_MEM_ALLOC_ENABLE: env.THP_MEM_ALLOC_ENABLE ?? '1',
    // Without it, torchrun's store keeps addresses of ended ranks, and a restart may hang.
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE: '1',
  }
}

/**
 * Return a private folder of this user for PyTorch's compiled code. PyTorch's default is a folder in /tmp with a known
 * name: another user could create it first, and PyTorch runs the code in it.
 * @param otherwise folder to use without a writable home folder
 */
export async function compilerCache(otherwise: string, env: Environment = process.env): Promise<string> {
  if (env.TORCHINDUCTOR_CACHE_DIR) return env.TORCHINDUCTOR_CACHE_DIR
  try {
    const folder = join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'freetumor', 'torchinductor')
    await makeFolder(folder, 0o700)
    await access(folder, constants.W_OK)
    if ((await stat(folder)).uid === process.getuid?.()) return folder
  } catch {
    // no writable home folder
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

/** Return the variable that Python's `getpass.getuser()` needs without an account; PyTorch and MONAI call it. */
function userName(env: Environment): Record<string, string> {
  if (['LOGNAME', 'USER', 'LNAME', 'USERNAME'].some((name) => env[name])) return {}
  try {
    userInfo()
    return {}
  } catch {
    return { LOGNAME: `uid-${process.getuid?.()}` }
  }
}

/** Return the environment of a user's script: ours without variables of another launcher; settings of Python stay. */
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

/** Return the environment of a foreign tool: ours without variables of a launcher, of our Python or of freetumor. */
export function toolEnvironment(env: Environment = process.env): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !isForeign(entry[0]) && !entry[0].startsWith('FREETUMOR_'),
  )
  return { ...Object.fromEntries(kept), ...userName(env), PYTHONSAFEPATH: '1', PYTHONUNBUFFERED: '1' }
}

function isForeign(name: string): boolean {
  if (name.startsWith('PYTHON') && !name.startsWith('PYTHON_')) return !KEPT_PYTHON_VARIABLES.has(name)
  return LAUNCHER_VARIABLES.test(name) || name === '__PYVENV_LAUNCHER__' || name === 'VIRTUAL_ENV'
}

/** Facts that an interpreter reports. */
export interface PythonFacts {
  /** Absolute path, as the interpreter reports it; in a virtual environment, the path in the environment. */
  readonly executable: string
  /** Version, such as `3.11.7`. */
  readonly version: string
  /** Installed distributions, name (lower case, dashes) to version; empty before Python 3.8. */
  readonly packages: Readonly<Record<string, string>>
}

// Runs on any Python, so that the error can name a wrong version. It imports only metadata, which takes 0.1 s.
const PROBE = `
import json, re, sys
try:
    from importlib import metadata
    found = dict((re.sub(r"[-_.]+", "-", d.metadata["Name"] or "").lower(), d.version) for d in metadata.distributions())
except ImportError:
    found = {}
print(json.dumps({"executable": sys.executable, "version": "%d.%d.%d" % sys.version_info[:3], "packages": found}))
`

/** Time in which an interpreter must report its packages. */
const ANSWER_WITHIN_MS = 60_000

/**
 * Return the version and packages of an interpreter.
 * @throws EnvironmentError if it does not exist, does not run or is no Python
 */
export async function inspectPython(path: string, signal?: AbortSignal): Promise<PythonFacts> {
  signal?.throwIfAborted()
  const { PYTHONPATH: _, ...env } = cleanEnvironment({ threads: 1 })
  const child = spawn(path, ['-c', PROBE], {
    env,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C reaches only this process, and `signal` ends the child
    detached: true,
  })
  const kill = (): void => void child.kill('SIGKILL')
  const release = onAbort(signal, kill)
  // the timeout of `spawn` itself would keep this process for its time if the program is missing
  const limit = setTimeout(kill, ANSWER_WITHIN_MS)
  const [error, stdout, stderr] = await Promise.all([
    new Promise<Error | null>((resolve) => child.once('error', resolve).once('close', () => resolve(null))),
    text(child.stdout),
    text(child.stderr),
  ]).finally(() => {
    clearTimeout(limit)
    release()
  })
  signal?.throwIfAborted()
  const facts = error ? undefined : parseFacts(stdout)
  if (facts) return facts
  const hint = 'give the path of a Python 3.11 or 3.12 executable'
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code === 'ENOENT') throw new EnvironmentError(cannotBeRead(path, code, 'Python'), { hint })
  const reason = lastLine(stderr) ?? code ?? 'it did not answer as Python does'
  throw new EnvironmentError(`${path}: cannot be used as Python: ${reason}`, {
    hint,
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
