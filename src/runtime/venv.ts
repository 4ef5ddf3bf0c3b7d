import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import { makeFolderSync } from '../whole-file.js'
import { endFamily } from './process.js'
import { cleanEnvironment } from './python.js'
import type { Requirements } from './requirements.js'
import { permitted, readSmallJson, UNFINISHED_FILE } from './runtime-record.js'

/** Process that runs, or ran, an unfinished set-up. */
interface Claim {
  readonly pid: number
  /** Start time of that process, because another process may get its id later. */
  readonly processStart: string | null
  /** Id in the environment of every process that it started. */
  readonly runId: string
}

/**
 * Mark the folder as used by this set-up. End the processes of an interrupted set-up and remove its files first.
 * @returns the id for FREETUMOR_RUN_ID of the processes of this set-up
 * @throws EnvironmentError if another set-up runs there, or the folder cannot be written
 */
export async function claimFolder(folder: string): Promise<string> {
  const left = readSmallJson(join(folder, UNFINISHED_FILE)) as Partial<Claim> | undefined
  if (left && isAlive(left))
    throw new EnvironmentError(`${folder}: another set-up runs there (process ${left.pid})`, {
      hint: 'wait for it, or stop it',
    })
  // the folder is untrusted: it can only end processes of a set-up
  if (left?.runId && /^setup-[\da-f-]{36}$/.test(left.runId)) await endFamily(left.runId)
  const claim: Claim = {
    pid: process.pid,
    processStart: startOfProcess(process.pid),
    runId: `setup-${randomUUID()}`,
  }
  permitted(folder, () => {
    if (left) rmSync(folder, { recursive: true, force: true })
    makeFolderSync(folder)
    writeFileSync(join(folder, UNFINISHED_FILE), JSON.stringify(claim), { flag: 'wx' })
  })
  return claim.runId
}

/** Mark the set-up as finished: from now on, the folder may be used. */
export function finishClaim(folder: string): void {
  rmSync(join(folder, UNFINISHED_FILE), { force: true })
}

/** Mark the set-up as failed, so that the next one starts with an empty folder. */
export function abandonClaim(folder: string): void {
  try {
    writeFileSync(join(folder, UNFINISHED_FILE), '{}')
  } catch {
    // the folder does not exist, so it cannot look finished
  }
}

export interface StepOptions {
  readonly runId: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
  /** Called with each line that the step prints. */
  readonly onLine?: (line: string) => void
}

/** Create a virtual environment. @throws EnvironmentError with the last lines of Python's output */
export async function makeVenv(base: string, folder: string, options: StepOptions): Promise<void> {
  await runStep(base, ['-m', 'venv', folder], options, {
    what: `${base} -m venv ${folder}`,
    hint: 'on Debian and Ubuntu, install the venv module: apt-get install python3-venv',
  })
}

/**
 * Install pinned packages from the configured index of pip. A file whose SHA-256 is not in the requirements is refused.
 * The requirements name every package, so pip resolves no others. PyTorch follows without a hash, with the packages that
 * its build needs.
 * @throws EnvironmentError with the last lines of pip's output
 */
export async function pipInstall(
  python: string,
  { hashed, torch }: Pick<Requirements, 'hashed' | 'torch'>,
  options: StepOptions,
): Promise<void> {
  const files = hashed.flatMap((file) => ['-r', file])
  await pip(python, ['--require-hashes', '--no-deps', ...files], options)
  // pip would report that packages of nnU-Net's networks which we do not use are absent
  await pip(python, ['--no-warn-conflicts', '-r', torch], options)
}

async function pip(python: string, what: readonly string[], options: StepOptions): Promise<void> {
  const flags = ['--no-input', '--disable-pip-version-check', '--progress-bar=off']
  await runStep(python, ['-m', 'pip', 'install', ...flags, ...what], options, {
    what: 'pip install',
    hint: 'check the index and the proxy with `pip config list`, or adopt a Python with `freetumor setup --python PATH`',
  })
}

async function runStep(
  command: string,
  argv: readonly string[],
  options: StepOptions,
  failure: { readonly what: string; readonly hint: string },
): Promise<void> {
  options.signal?.throwIfAborted()
  const { PYTHONPATH: _, ...env } = cleanEnvironment({ threads: 1, env: options.env })
  const child = spawn(command, argv, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Ctrl-C reaches only this process, which then ends the child
    detached: true,
    env: { ...env, FREETUMOR_RUN_ID: options.runId },
  })
  const last: string[] = []
  const onLine = (line: string): void => {
    last.push(line)
    if (last.length > 15) last.shift()
    options.onLine?.(line)
  }
  forEachLine(child.stdout, onLine)
  forEachLine(child.stderr, onLine)
  const release = onAbort(options.signal, () => {
    child.kill('SIGKILL')
    void endFamily(options.runId)
  })
  const end = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(code === 0 ? '' : (signal ?? `exit code ${code}`)))
  })
  release()
  options.signal?.throwIfAborted()
  if (end)
    throw new EnvironmentError(`${failure.what} failed (${end}):\n${last.join('\n')}`, { hint: failure.hint })
}

function forEachLine(stream: NodeJS.ReadableStream, use: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim()) use(line.trimEnd())
  })
  stream.on('end', () => {
    if (rest.trim()) use(rest.trimEnd())
  })
}

function isAlive(claim: Partial<Claim>): boolean {
  if (typeof claim.pid !== 'number') return false
  try {
    process.kill(claim.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return startOfProcess(claim.pid) === claim.processStart
}

/** Return the start time of a process in clock ticks since boot; null without /proc. */
function startOfProcess(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}
