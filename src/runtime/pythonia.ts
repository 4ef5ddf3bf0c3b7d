import type { ChildProcess, SpawnOptions, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { onAbort } from '../abort.js'
import { RuntimeCrashError } from '../errors.js'
import { reviveError } from './events.js'
import { cleanEnvironment, inspectPython } from './python.js'

export interface PythonCallOptions {
  /** Limit in ms, including the start of Python and its imports. Default: 60,000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** The part of pythonia that we use. Its import starts a Python at once, with the current environment. */
interface Pythonia {
  python(
    module: string,
  ): Promise<{ run(module: string, name: string, argumentsJson: string): Promise<unknown> }>
  readonly com: { proc: ChildProcess | null; start(): void }
}

let pythonia: Pythonia | undefined
let queue: Promise<unknown> = Promise.resolve()

/**
 * Call a Python function once: `moduleName.functionName(...args)`. Arguments and result are JSON values (no NaN, no
 * infinity). Each call has its own Python; calls of one process run one after another, because pythonia supports one Python
 * at a time. Not for hot paths: a start takes 0.1 s plus the imports.
 * @throws EnvironmentError if the interpreter cannot be used; the error that the function raised; RuntimeCrashError if
 *   Python ended or did not answer in time
 */
export function callPython(
  pythonPath: string,
  moduleName: string,
  functionName: string,
  args: readonly unknown[] = [],
  options: PythonCallOptions = {},
): Promise<unknown> {
  const turn = queue.then(() => callNow(pythonPath, moduleName, functionName, args, options))
  queue = turn.catch(() => {})
  return turn
}

async function callNow(
  pythonPath: string,
  moduleName: string,
  functionName: string,
  args: readonly unknown[],
  options: PythonCallOptions,
): Promise<unknown> {
  // pythonia lets Node crash if the interpreter does not start
  await inspectPython(pythonPath, options.signal)
  const bridge = startPython(pythonPath)
  const child = bridge.com.proc!
  const end = whenEnded(child)
  const failed = end.promise.then((how) => {
    throw new RuntimeCrashError(`Python ended during ${moduleName}.${functionName} (${how})`, {
      hint: 'run `freetumor doctor` to check the runtime; the output of Python is above',
    })
  })
  const guard = timeGuard(`${moduleName}.${functionName}`, options)
  try {
    const answer = bridge
      .python('freetumor_runtime.pythonia_entry')
      .then((calls) => calls.run(moduleName, functionName, JSON.stringify(args)))
      .catch(unanswered)
    answer.catch(() => {}) // it may fail after another has won the race
    return resultOf(await Promise.race([answer, failed, guard.promise]))
  } finally {
    guard.clear()
    failed.catch(() => {})
    child.kill('SIGKILL')
    bridge.com.proc = null
    await end.promise
  }
}

/** Start pythonia's Python. All work up to the spawn is synchronous, so no other code sees the changed environment. */
function startPython(pythonPath: string): Pythonia {
  // pythonia's script imports from its own folder, which a safe path excludes; a script's path has no working directory
  const { PYTHONSAFEPATH: _, ...clean } = cleanEnvironment({ threads: 1 })
  const environment = {
    ...clean,
    PYTHON_BIN: pythonPath,
    REQ_TIMEOUT: '0',
    DEBUG: '',
  }
  withEnvironment(environment, () =>
    inOwnSession(() => {
      if (pythonia) {
        pythonia.com.start()
        return
      }
      pythonia = createRequire(import.meta.url)('pythonia') as Pythonia
      stopReleaseTimer()
    }),
  )
  return pythonia!
}

/** Spawn processes of `act` in their own session, so that Ctrl-C reaches only this process. pythonia has no option for it. */
function inOwnSession(act: () => void): void {
  const module = createRequire(import.meta.url)('node:child_process') as { spawn: typeof spawn }
  const { spawn: original } = module
  module.spawn = ((command: string, argv: readonly string[], options: SpawnOptions) =>
    original(command, argv, { ...options, detached: true })) as typeof spawn
  try {
    act()
  } finally {
    module.spawn = original
  }
}

/** Stop pythonia's timer that releases Python objects: it would keep Node running, and our Python ends after one call. */
function stopReleaseTimer(): void {
  const { __pythonBridge: bridge } = globalThis as unknown as { __pythonBridge: { end(): void } }
  bridge.end()
}

function withEnvironment(environment: Record<string, string>, act: () => void): void {
  const before = { ...process.env }
  const replace = (values: Record<string, string | undefined>): void => {
    for (const name of Object.keys(process.env)) if (values[name] === undefined) delete process.env[name]
    Object.assign(process.env, values)
  }
  try {
    replace(environment)
    act()
  } finally {
    replace(before)
  }
}

function whenEnded(child: ChildProcess): { readonly promise: Promise<string> } {
  const promise = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    child.on('error', (error) => {
      // an error of the channel is followed by the exit; without a pid there was no start
      if (child.pid === undefined) resolve(error.message)
    })
  })
  return { promise }
}

function timeGuard(
  what: string,
  options: PythonCallOptions,
): { readonly promise: Promise<never>; clear(): void } {
  const { timeoutMs = 60_000, signal } = options
  let clear = (): void => {}
  const promise = new Promise<never>((_, reject) => {
    const late = (): void =>
      reject(
        new RuntimeCrashError(`${what}: no answer within ${timeoutMs / 1000} s`, {
          hint: 'run `freetumor doctor` to check the runtime',
        }),
      )
    const timer = setTimeout(late, timeoutMs)
    const release = onAbort(signal, () => reject(signal?.reason))
    clear = () => {
      clearTimeout(timer)
      release()
    }
  })
  return { promise, clear }
}

/** Throw an exception of pythonia itself: the call was never made. Exceptions of the function arrive as text. */
function unanswered(cause: Error): never {
  const last = (cause.message || cause.stack || '').trim().split('\n').at(-1)
  throw new RuntimeCrashError(`Python cannot load the runtime package: ${last}`, {
    hint: 'run `freetumor setup`, then `freetumor doctor`',
    cause,
  })
}

function resultOf(text: unknown): unknown {
  return answered(JSON.parse(String(text)) as PythonAnswer<unknown>)
}

/** A value, or an error instead. */
export type PythonAnswer<T> =
  | { readonly value: T }
  | { readonly error: { readonly kind: string; readonly message: string; readonly hint: string } }

export function answered<T>(answer: PythonAnswer<T>): T {
  if ('error' in answer) throw reviveError(answer.error)
  return answer.value
}
