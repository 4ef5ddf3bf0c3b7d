import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FreetumorError } from '../errors.js'
import { connectRun } from '../runtime/run-service.js'
import { makeFolder } from '../whole-file.js'

/** A training that was refused or failed before it could be detached. The message is its own error. */
class DetachedError extends FreetumorError {
  readonly code = 'detached'

  constructor(
    message: string,
    readonly exitCode: number,
  ) {
    super(message)
  }
}

const POLL_MS = 100

/**
 * Start `freetumor train` with these arguments in a session of its own; its messages are in `logs/console.log` of the run
 * directory. Resolve with the process id when the training can be controlled and has accepted data and weights, or has ended
 * without an error.
 */
export async function startDetached(
  argv: readonly string[],
  directory: string,
  cwd: string,
): Promise<number> {
  await makeFolder(join(directory, 'logs'))
  const path = join(directory, 'logs', 'console.log')
  const log = await open(path, 'a')
  const { size } = await log.stat()
  const main = fileURLToPath(new URL('./main.js', import.meta.url))
  const child = spawn(process.execPath, [main, 'train', ...argv], {
    cwd,
    env: { ...process.env, FREETUMOR_IGNORE_HANGUP: '1' },
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  await once(child, 'spawn')
  await log.close()
  while (child.exitCode === null && child.signalCode === null && !(await isUnderWay(directory, child.pid)))
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  if (hasFailed(child)) {
    const output = (await readFile(path)).subarray(size).toString('utf8').trim()
    throw new DetachedError(
      output.replace(/^error: /, '') || `freetumor train was killed by ${child.signalCode}`,
      child.exitCode ?? 1,
    )
  }
  child.unref()
  return child.pid!
}

function hasFailed({ exitCode, signalCode }: ChildProcess): boolean {
  return signalCode !== null || (exitCode !== null && exitCode !== 0)
}

/** Return true if this process trains there: another one may have been first. */
async function isUnderWay(directory: string, pid: number | undefined): Promise<boolean> {
  const remote = await connectRun(directory)
  if (remote === null) return false
  try {
    return remote.pid === pid && (await remote.status()).phase !== 'checking'
  } catch {
    // the process ended meanwhile
    return false
  } finally {
    remote.close()
  }
}
