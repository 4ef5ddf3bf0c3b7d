import { chmod, rm } from 'node:fs/promises'
import { type Server, ServerCredentials } from '@grpc/grpc-js'
import { EnvironmentError } from '../errors.js'

/**
 * Bind a gRPC server to a unix socket that only its owner may use. Return its `unix:` address.
 * @throws EnvironmentError if that fails; the server is then shut down and the socket removed
 */
export async function bindSocket(server: Server, path: string): Promise<string> {
  const address = `unix:${path}`
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      )
    })
    await chmod(path, 0o600)
    return address
  } catch (error) {
    await closeSocket(server, path)
    throw new EnvironmentError(`${path}: socket cannot be opened (${(error as Error).message})`, {
      hint: 'set TMPDIR to a writable local directory, and check `ulimit -n`',
      cause: error,
    })
  }
}

/** End every connection of the server, including idle ones, and remove its socket. */
export async function closeSocket(server: Server, path: string): Promise<void> {
  server.forceShutdown()
  await rm(path, { force: true })
}
