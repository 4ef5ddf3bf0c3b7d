import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onAbort } from '../abort.js'
import { EnvironmentError } from '../errors.js'
import { endFamily } from './process.js'
import { cleanEnvironment } from './python.js'
import type { Requirements } from './requirements.js'
import { permitted, readSmallJson, UNFINISHED_FILE } from './runtime-record.js'

/** Who works, or worked, on an unfinished set-up. */
interface Claim {
  readonly pid: number
  /** When that process started: its id alone may have gone to another one since. */
  readonly processStart: string | null
  /** In the environment of every process that it started. */
  readonly runId: string
}

/**
 * Marks the folder as being worked on. What a set-up that was cut off left there is removed first, and whoever still
 * works for it is ended.
 * @returns the id that processes of this set-up carry in FREETUMOR_RUN_ID
 * @throws EnvironmentError when another set-up is at work there, or the folder cannot be written
 */
export async function claimFolder(folder: string): Promise<string> {
  const left = readSmallJson(join(folder, UNFINISHED_FILE)) as Partial<Claim> | undefined
  if (left && isAlive(left))
    throw new EnvironmentError(`another set-up is at work in ${folder} (process ${left.pid})`, {
      hint: 'wait for it, or stop it',
    })
  // the folder may be anybody's: it ends no process but one of a set-up
  if (left?.runId && /^setup-[\da-f-]{36}$/.test(left.runId)) await endFamily(left.runId)
  const claim: Claim = {
    pid: process.pid,
    processStart: startOfProcess(process.pid),
    runId: `setup-${randomUUID()}`,
  }
  permitted(folder, () => {
    if (left) rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, UNFINISHED_FILE), JSON.stringify(claim), { flag: 'wx' })
  })
  return claim.runId
}

/** The set-up is finished: from here on the folder may be used. */
export function finishClaim(folder: string): void {
  rmSync(join(folder, UNFINISHED_FILE), { force: true })
}

/** The set-up failed: nobody works on it any more, and the next one starts from nothing. */
export function abandonClaim(folder: string): void {
  try {
    writeFileSync(join(folder, UNFINISHED_FILE), '{}')
  } catch {
    // the folder itself is gone: nothing is left that could look finished
  }
}

export interface StepOptions {
  readonly runId: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
  /** Is given each line that the step prints. */
  readonly onLine?: (line: string) => void
}

/** Makes a virtual environment; @throws EnvironmentError with Python's last lines. */
export async function makeVenv(base: string, folder: string, options: StepOptions): Promise<void> {
  await runStep(base, ['-m', 'venv', folder], options, {
    what: `${base} -m venv ${folder}`,
    hint: 'on Debian and Ubuntu the venv module is a package of its own: apt-get install python3-venv',
  })
}

/**
 * Installs pinned packages, from wherever pip is configured to look. A file whose SHA-256 is not in the requirements is
 * refused; the files name every package, so pip looks for no other. PyTorch comes after them, without a hash, with the
 * packages that its own build needs.
 * @throws EnvironmentError with pip's last lines
 */
export async function pipInstall(
  python: string,
  { hashed, torch }: Pick<Requirements, 'hashed' | 'torch'>,
  options: StepOptions,
): Promise<void> {
  const files = hashed.flatMap((file) => ['-r', file])
  await pip(python, ['--require-hashes', '--no-deps', ...files], options)
  await pip(python, ['-r', torch], options)
}

async function pip(python: string, what: readonly string[], options: StepOptions): Promise<void> {
  const flags = ['--no-input', '--disable-pip-version-check', '--progress-bar=off']
  await runStep(python, ['-m', 'pip', 'install', ...flags, ...what], options, {
    what: 'pip install',
    hint: 'pip goes by its own configuration (index, find-links, proxy): see `pip config list`; or adopt a Python that has the packages with `freetumor setup --python PATH`',
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
    // Ctrl-C is for us: we end it
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

/** Start time of a process in clock ticks since boot; null where there is no /proc. */
function startOfProcess(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}
