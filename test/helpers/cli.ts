import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { ProgramIo } from '../../src/cli/program.js'
import { packageRoot } from '../../src/runtime/python.js'

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Started {
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
}

export interface StartOptions {
  readonly cwd?: string
  /** Laid over the environment of the tests; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** The built program; `npm run build` makes it. */
export const builtMain = join(packageRoot, 'dist/cli/main.js')

/** Starts the built `freetumor` as its users do; killed when the test ends before it does. */
export function startCli(argv: readonly string[], options: StartOptions = {}): Started {
  if (!existsSync(builtMain)) throw new Error(`${builtMain} is missing: npm run build`)
  return startNode([builtMain, ...argv], options)
}

/** Starts node. */
export function startNode(argv: readonly string[], { cwd, env = {} }: StartOptions = {}): Started {
  const child = spawn(process.execPath, argv, {
    cwd: cwd ?? process.cwd(),
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, finished }
}

/** Runs the built `freetumor` to its end. */
export function runCli(argv: readonly string[], options: StartOptions = {}): Promise<Finished> {
  return startCli(argv, options).finished
}

export interface MemoryIo extends ProgramIo {
  readonly stdout: string[]
  readonly stderr: string[]
}

/** A world of a command that keeps what it is told. */
export function memoryIo(overrides: Partial<ProgramIo> = {}): MemoryIo {
  const stdout: string[] = []
  const stderr: string[] = []
  let exitCode = 0
  return {
    cwd: process.cwd(),
    env: {},
    print: (text) => void stdout.push(text),
    note: (text) => void stderr.push(text),
    exitWith: (code) => {
      exitCode = code
    },
    terminal: { write: () => {} },
    endWithReader: () => {},
    signal: new AbortController().signal,
    color: false,
    interruptedBy: undefined,
    ...overrides,
    get exitCode() {
      return exitCode
    },
    stdout,
    stderr,
  }
}
