import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import type { FoundTool, ToolCall, ToolEnd, ToolProgram, ToolRunner } from '../pipeline/ports/tool.js'
import { oneLine, visible } from '../plain-text.js'
import { cannotBeRead, typedSystemError } from '../system-errors.js'
import { endFamily, parentDeathPrefix } from './process.js'
import { onPath, resolvePython, toolEnvironment } from './python.js'
import { postWarden } from './warden.js'

/** Runs tools in environments of their own, as the machine has them. */
export const toolRunner: ToolRunner = { find, findProgram, run }

const MAX_LOG_BYTES = 2 ** 20
const TAIL_CHARACTERS = 8192
/** Time for a tool to state its version; the imports of PyTorch are slow on a network disk. */
const VERSION_WITHIN_MS = 120_000

async function find(tool: ToolProgram, named: string | null): Promise<FoundTool> {
  const { program } = tool
  if (named === null) {
    const script = onPath(program)
    if (script === undefined) throw notFound(program, 'on PATH')
    const python = pythonOfScript(script)
    if (python !== null) refuseOwnPython(program, python)
    const facts = python === null ? null : await probe(python, tool)
    return { argv: [script], version: facts?.version ?? (await statedVersion(script)) }
  }
  const python = /[\\/]/.test(named) ? resolve(named) : onPath(named)
  if (python === undefined || !existsSync(python))
    throw new EnvironmentError(`--tool-python: ${cannotBeRead(named, 'ENOENT', 'Python')}`, {
      hint: 'name the Python of the environment that the tool is installed in',
    })
  refuseOwnPython(program, python)
  const facts = await probe(python, tool)
  const script = join(dirname(python), program)
  if (existsSync(script)) return { argv: [script], version: facts?.version ?? (await statedVersion(script)) }
  if (facts?.hasModule) return { argv: [python, '-m', tool.module], version: facts.version }
  throw notFound(program, `in ${dirname(python)}`)
}

function notFound(program: string, where: string): EnvironmentError {
  return new EnvironmentError(`${program}: program not found ${where}`, {
    hint: `install it in an environment of its own, and name its Python with --tool-python`,
  })
}

/** @throws EnvironmentError for the Python of freetumor: the packages of a tool would change the pinned ones */
function refuseOwnPython(program: string, python: string): void {
  let own: string
  try {
    own = resolvePython()
  } catch {
    return
  }
  if (dirname(resolve(own)) !== dirname(resolve(python))) return
  throw new EnvironmentError(`${program}: needs an environment of its own (found that of freetumor)`, {
    hint: `create another environment, install ${program} there, and pass its Python with --tool-python`,
  })
}

/** Return the interpreter of a script from its first lines: `#!/path/python`, or pip's form for long paths. */
function pythonOfScript(script: string): string | null {
  const buffer = Buffer.alloc(1024)
  const file = openSync(script, 'r')
  try {
    readSync(file, buffer, 0, buffer.length, 0)
  } finally {
    closeSync(file)
  }
  const text = buffer.toString('latin1')
  const found =
    /^#!\s*(\/[^\s]*python[\d.]*)\s*\n/.exec(text) ??
    /^#!\/bin\/sh\n'''exec' "?(\/[^"\n]*?python[\d.]*)"? /.exec(text)
  const python = found?.[1]
  return python !== undefined && existsSync(python) ? python : null
}

const PROBE = `
import importlib.metadata, importlib.util, json, sys
module, distribution = sys.argv[1:3]
try:
    version = importlib.metadata.version(distribution)
except importlib.metadata.PackageNotFoundError:
    version = None
try:
    found = importlib.util.find_spec(module) is not None
except ImportError:
    found = False
print(json.dumps({"version": version, "hasModule": found}))
`

async function probe(
  python: string,
  { module, distribution }: ToolProgram,
): Promise<{ readonly version: string | null; readonly hasModule: boolean } | null> {
  const output = await outputOf([python, '-c', PROBE, module, distribution])
  try {
    const { version, hasModule } = JSON.parse(output) as Record<string, unknown>
    return {
      version: typeof version === 'string' ? plainVersion(version) : null,
      hasModule: hasModule === true,
    }
  } catch {
    return null
  }
}

async function statedVersion(script: string): Promise<string | null> {
  return plainVersion(await outputOf([script, '--version']))
}

function plainVersion(text: string): string | null {
  return /\d+\.\d+[\w.+-]{0,40}/.exec(text)?.[0] ?? null
}

/** Return the standard output of a short call; empty if it fails. */
function outputOf([program, ...args]: readonly string[]): Promise<string> {
  const options = {
    env: toolEnvironment(),
    cwd: '/',
    timeout: VERSION_WITHIN_MS,
    killSignal: 'SIGKILL',
    maxBuffer: 2 ** 16,
  } as const
  return new Promise((resolve) => {
    execFile(program!, args, options, (error, stdout) => resolve(error === null ? stdout : ''))
  })
}

function findProgram(name: string): string {
  const path = /[\\/]/.test(name) ? resolve(name) : onPath(name)
  if (path !== undefined && statSync(path, { throwIfNoEntry: false })?.isFile()) return path
  throw new EnvironmentError(`${oneLine(name)}: program not found`, {
    hint: 'give the path of the program, or add its folder to PATH',
  })
}

async function run({ argv, directory, limitSeconds, log, signal }: ToolCall): Promise<ToolEnd> {
  signal?.throwIfAborted()
  const runId = `tool-${randomUUID()}`
  const dismissWarden = postWarden(resolvePython(), runId)
  const started = performance.now()
  try {
    await using output = await boundedLog(log)
    const command = [...parentDeathPrefix(), ...argv]
    const child = spawn(command[0]!, command.slice(1), {
      cwd: directory,
      env: { ...environmentOf(argv[0]!), FREETUMOR_RUN_ID: runId },
      stdio: ['ignore', 'pipe', 'pipe'],
      // a terminal sends Ctrl-C to its whole foreground group; `signal` ends the tool
      detached: true,
    })
    let timedOut = false
    const end = (): void => {
      child.kill('SIGKILL')
      // a process of the tool that keeps the pipes open would delay the end
      void endFamily(runId)
    }
    const limit = setTimeout(() => {
      timedOut = true
      end()
    }, limitSeconds * 1000)
    const release = onAbort(signal, end)
    for (const stream of [child.stdout, child.stderr]) stream.on('data', output.add)
    const state = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
      (resolve, reject) => {
        child.once('error', (error) => reject(typedSystemError(error, argv[0])))
        child.once('exit', () => void endFamily(runId))
        child.once('close', (code, by) => resolve({ code, signal: by }))
      },
    ).finally(() => {
      clearTimeout(limit)
      release()
    })
    await endFamily(runId)
    signal?.throwIfAborted()
    return { ...state, timedOut, seconds: (performance.now() - started) / 1000, tail: output.tail() }
  } finally {
    dismissWarden()
  }
}

/** Return the environment of a tool; other programs of its folder come first on PATH. */
function environmentOf(program: string): Record<string, string> {
  const env = toolEnvironment()
  const folder = isAbsolute(program) ? [dirname(program)] : []
  return { ...env, PATH: [...folder, env.PATH ?? ''].join(delimiter) }
}

/** Open a log that keeps the first MiB, without control characters; `tail` has the last lines. */
async function boundedLog(
  path: string,
): Promise<AsyncDisposable & { add: (chunk: Buffer) => void; tail: () => string }> {
  const file = await open(path, 'w', 0o600).catch((error: unknown) => {
    throw typedSystemError(error, path)
  })
  let bytes = 0
  let tail = ''
  let written = Promise.resolve()
  return {
    add(chunk) {
      const text = visible(chunk.toString('utf8').replaceAll('\r', '\n'))
      tail = (tail + text).slice(-TAIL_CHARACTERS)
      if (bytes > MAX_LOG_BYTES) return
      bytes += chunk.length
      const end = bytes > MAX_LOG_BYTES ? `${text}\n... the rest is left out\n` : text
      // a full disk costs the log, not the case
      written = written.then(() => file.appendFile(end)).catch(() => {})
    },
    tail: () => tail,
    async [Symbol.asyncDispose]() {
      await written
      await file.close()
    },
  }
}
