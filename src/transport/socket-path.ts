import { chmod, readdir, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EnvironmentError } from '../errors.js'
import { makeTemporaryFolder } from '../whole-file.js'

/** The operating system's limit of a unix socket's path, less the end mark. */
const MAX_PATH_BYTES = 107

const PREFIX = 'ft-'
/** Of the sockets in such a directory, those that live as long as it does. */
const LASTING = ['control.sock', 'run.sock']
/** A directory so young may be one whose sockets are just being made. */
const YOUNG_MS = 60_000

/**
 * A new private directory for sockets, short and below the system's temporary one. Those of processes that were killed go:
 * nobody answers there.
 */
export async function newSocketDirectory(kind: '' | 'run-'): Promise<string> {
  await removeDeadDirectories(tmpdir())
  const directory = await makeTemporaryFolder(`${PREFIX}${kind}`)
  await chmod(directory, 0o700)
  return directory
}

async function removeDeadDirectories(root: string): Promise<void> {
  const names = await readdir(root).catch(() => [])
  const ours = names.filter((name) => /^ft-(run-)?[A-Za-z0-9]{6}$/.test(name))
  await Promise.all(
    ours.map(async (name) => {
      const directory = join(root, name)
      // another user's cannot be looked into, and one that ends by itself may be gone
      if (await isDead(directory).catch(() => false)) await rm(directory, { recursive: true, force: true })
    }),
  )
}

async function isDead(directory: string): Promise<boolean> {
  const { uid, mtimeMs } = await stat(directory)
  if (uid !== process.getuid?.() || Date.now() - mtimeMs < YOUNG_MS) return false
  const sockets = (await readdir(directory)).filter((name) => LASTING.includes(name))
  const answers = await Promise.all(sockets.map((name) => somebodyListens(join(directory, name))))
  return !answers.includes(true)
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => socket.destroy())
    socket.once('close', (failed) => resolve(!failed))
    // what is refused has nobody; whatever else it is, it is left alone
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

/**
 * The path of a new socket in a private directory. A file that an earlier process left there is removed.
 * @throws EnvironmentError when others may enter the directory, or the path is longer than a socket's may be
 */
export async function newSocketPath(directory: string, name: string): Promise<string> {
  const path = join(directory, name)
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new EnvironmentError(`socket path ${path} is longer than ${MAX_PATH_BYTES} bytes`, {
      hint: 'set TMPDIR to a shorter directory',
    })
  const { mode } = await stat(directory)
  // Who can reach a socket can speak on it: tensors carry no token.
  if (mode & 0o077)
    throw new EnvironmentError(
      `socket directory ${directory} has mode ${(mode & 0o777).toString(8)}; only its owner may enter it (700)`,
      { hint: `chmod 700 ${directory}` },
    )
  await rm(path, { force: true })
  return path
}
