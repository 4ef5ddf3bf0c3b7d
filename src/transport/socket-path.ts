import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EnvironmentError } from '../errors.js'
import { quoted } from '../plain-text.js'
import { makeTemporaryFolder } from '../whole-file.js'

/** Largest path of a unix socket on the operating system, without the end mark. */
const MAX_PATH_BYTES = 107

const PREFIX = 'ft-'
/** Sockets that exist as long as their directory. */
const LASTING = ['control.sock', 'run.sock']
/** A directory younger than this may still be under construction. */
const YOUNG_MS = 60_000

/**
 * Create a private directory for sockets, with a short path below the system's temporary folder. Directories
 * of killed processes are removed.
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
      // another user's directory cannot be read, and the directory of an ending process may be gone
      if (await isDead(directory).catch(() => false)) await removeSocketDirectory(directory)
    }),
  )
}

/** Remove a directory of `newSocketDirectory`. What other programs left there and cannot be removed stays. */
export async function removeSocketDirectory(directory: string): Promise<void> {
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
  const makeWritable = async (): Promise<void> => {
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
      if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o700)
  }
  await remove()
    .catch(async () => {
      await makeWritable()
      await remove()
    })
    .catch(() => {})
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
    // a refused connection has no listener; any other error leaves the directory alone
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

/** Longest path of a socket below Python's temporary folder: `/freetumor-plugin-12345678/socket`; pools need one less. */
const PYTHON_SOCKET_BYTES = 33

/**
 * Create a folder in the directory of a job for temporary files of its Python processes, because a killed process leaves
 * them. Return the variable that names it; nothing if sockets would have too long paths there.
 */
export async function makePythonTemporaryFolder(directory: string): Promise<Record<string, string>> {
  const folder = join(directory, 'tmp')
  if (Buffer.byteLength(folder) + PYTHON_SOCKET_BYTES > MAX_PATH_BYTES) return {}
  await mkdir(folder, { mode: 0o700 })
  return { TMPDIR: folder }
}

/**
 * Return the path of a new socket in a private directory. A file of an earlier process is removed.
 * @throws EnvironmentError if others may enter the directory, or if the path is too long for a socket
 */
export async function newSocketPath(directory: string, name: string): Promise<string> {
  const path = join(directory, name)
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw new EnvironmentError(
      `${path}: socket path too long (expected at most ${MAX_PATH_BYTES} bytes, found ${Buffer.byteLength(path)})`,
      {
        hint: 'set TMPDIR to a shorter directory',
      },
    )
  const { mode } = await stat(directory)
  // tensor messages carry no token, so access to the socket is the only protection
  if (mode & 0o077)
    throw new EnvironmentError(
      `${directory}: unsafe socket directory (expected mode 700, found ${(mode & 0o777).toString(8)})`,
      { hint: `run \`chmod 700 ${quoted(directory)}\`` },
    )
  await rm(path, { force: true })
  return path
}
