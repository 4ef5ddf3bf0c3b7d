import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EnvironmentError } from '../errors.js'

/** The operating system's limit of a unix socket's path, less the end mark. */
const MAX_PATH_BYTES = 107

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
