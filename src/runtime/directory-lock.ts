import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { EnvironmentError } from '../errors.js'
import type { DirectoryLock, Holder, LockedWork } from '../pipeline/ports/common.js'
import { typedSystemError } from '../system-errors.js'
import { resolvePython } from './python.js'

/** File whose lock gives ownership of the folder; it names the owner. */
export const LOCK_FILE = '.lock'

/**
 * Node has no flock, so this small process holds the lock. It ends with its standard input, that is with us, even when we
 * are killed; while we are suspended it keeps the lock. Signals for the whole job (Slurm, a terminal) do not reach it.
 * It retries a conflict for half a second, because `PROBE` holds a shared lock for an instant.
 * It reports a file system without locks as unsupported. If a new file has replaced the one that it opened, it tries again.
 * It removes the file on release, and only while it alone holds the lock: after that the file is another owner's.
 */
const HOLD = `
import errno, fcntl, json, os, signal, sys, time
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
path, owner, shared = sys.argv[1], sys.argv[2].encode(), sys.argv[3] == "shared"
def report(**state):
    print(json.dumps(state), flush=True)
def hold():
    for attempt in range(20):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(fd).st_uid == os.geteuid():
            os.fchmod(fd, 0o600)  # another user who can open it could hold the lock
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                os.ftruncate(fd, 0)
                os.pwrite(fd, owner, 0)
                os.fsync(fd)
                report(state="held")
                return fd
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if attempt == 19:
                return report(state="busy", holder=os.pread(fd, 4096, 0).decode("utf-8", "replace"))
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                report(state="unsupported", code=errno.errorcode[error.errno])
                return fd
            raise
        os.close(fd)
        time.sleep(0.025)
    report(state="busy", holder="")
fd = None
try:
    fd = hold()
except OSError as error:
    report(state="failed", code=errno.errorcode.get(error.errno, "EIO"))
released = sys.stdin.buffer.read() != b""
try:
    if released and fd is not None and shared:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while others share the lock
    if released and fd is not None and os.path.samestat(os.fstat(fd), os.stat(path)):
        os.unlink(path)
except OSError:
    pass
`

/** Python program that prints for each folder the content of its lock file if a process holds it, else null. */
const PROBE = `
import fcntl, json, os, sys
def holder(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 4096, 0).decode("utf-8", "replace")
    except OSError:
        pass
    finally:
        os.close(fd)
print(json.dumps([holder(path) for path in json.load(sys.stdin)]))
`

/**
 * Lock a folder for this process alone, or for all processes of shared work, until the lock is disposed. The kernel
 * releases it when this process ends or the machine restarts. A suspended owner keeps it, and so does an owner in another container.
 * @throws UsageError that names the holder, EnvironmentError if the folder cannot be written
 */
export async function lockDirectory(
  folder: string,
  work: LockedWork,
  python?: string | null,
): Promise<DirectoryLock> {
  const directory = resolve(folder)
  const path = join(directory, LOCK_FILE)
  const owner = JSON.stringify({ pid: process.pid, host: hostname() })
  const helper = startPython(pythonFor(python), HOLD, [path, owner, work.shared ? 'shared' : 'alone'])
  const release = async (): Promise<void> => {
    helper.ref()
    const ended = helper.exitCode === null && helper.signalCode === null ? once(helper, 'exit') : null
    // only this line makes the helper remove the file; when this process is killed, the file stays
    helper.stdin?.end('release')
    await ended
  }
  try {
    const answer = await firstLine(helper)
    if (answer.state === 'busy') throw work.refusal(directory, holderOf(answer.holder ?? ''))
    if (answer.state === 'failed') throw systemError(answer.code ?? 'EIO', path)
    return {
      enforced: answer.state === 'held',
      [Symbol.asyncDispose]: release,
    }
  } catch (error) {
    await release()
    throw error
  }
}

/** Return the folders that a process holds, even if the process does not answer. */
export async function lockHolders(
  folders: readonly string[],
  python?: string | null,
): Promise<ReadonlyMap<string, Holder>> {
  const locked = folders.filter((folder) => existsSync(join(folder, LOCK_FILE)))
  if (locked.length === 0) return new Map()
  const helper = startPython(pythonFor(python), PROBE, [])
  helper.stdin?.end(JSON.stringify(locked.map((folder) => join(folder, LOCK_FILE))))
  const found = await outputOf(helper)
  const texts = JSON.parse(found) as readonly (string | null)[]
  return new Map(
    locked.flatMap((folder, at) => {
      const text = texts[at] ?? null
      return text === null ? [] : [[folder, holderOf(text)] as const]
    }),
  )
}

/** Start Python with `-I -S`: without the working directory, Python variables of the environment and installed packages. */
function startPython(python: string, program: string, args: readonly string[]): ChildProcess {
  // without the id of a run, so that the end of a run's processes spares this one
  const { FREETUMOR_RUN_ID: _, ...env } = process.env
  const child = spawn(python, ['-I', '-S', '-c', program, ...args], {
    // own session: Ctrl-C of a terminal goes to the whole process group
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: '/',
    env,
  })
  child.stdin?.on('error', () => {})
  return child
}

/** Return a Python for the lock. The standard library suffices, so before the set-up it is the system's Python. */
function pythonFor(explicit: string | null | undefined): string {
  try {
    return resolvePython({ explicit: explicit ?? undefined })
  } catch {
    return 'python3'
  }
}

interface Answer {
  readonly state: 'held' | 'busy' | 'unsupported' | 'failed'
  readonly holder?: string
  readonly code?: string
}

async function firstLine(helper: ChildProcess): Promise<Answer> {
  const line = await outputOf(helper, '\n')
  // the helper must not keep the program running
  helper.unref()
  for (const stream of [helper.stdin, helper.stdout, helper.stderr]) {
    ;(stream as { unref?: () => void } | null)?.unref?.()
  }
  return JSON.parse(line) as Answer
}

/** Return the output of a helper, up to its end or its first line feed. */
async function outputOf(helper: ChildProcess, until?: string): Promise<string> {
  let [output, errors] = ['', '']
  helper.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(-2000)
  })
  return await new Promise<string>((resolve, reject) => {
    const fail = (reason: string): void =>
      reject(
        new EnvironmentError(`the lock of the folder cannot be used: ${reason}`, {
          hint: 'run `freetumor setup`, or name a working Python with FREETUMOR_PYTHON',
        }),
      )
    helper.once('error', (error) => fail(error.message))
    helper.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8')
      if (until !== undefined && output.includes(until)) resolve(output)
    })
    helper.once('close', (code, signal) => {
      if (code === 0 && output !== '') resolve(output)
      else fail(errors.trim().split('\n').at(-1) || `its Python ended with ${signal ?? code}`)
    })
  })
}

function holderOf(text: string): Holder {
  try {
    const { pid, host } = JSON.parse(text) as Partial<Holder>
    return {
      pid: Number.isInteger(pid) ? (pid as number) : null,
      host: typeof host === 'string' ? host : null,
    }
  } catch {
    return { pid: null, host: null }
  }
}

function systemError(code: string, path: string): unknown {
  return typedSystemError(Object.assign(new Error(code), { code, path }), path)
}
