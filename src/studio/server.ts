import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { realpath, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { dirname } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { EnvironmentError, UsageError } from '../errors.js'
import { readReviews } from '../quality/reviews.js'
import { cannotBeRead } from '../system-errors.js'
import { ownVersion } from '../training/run-version.js'
import { Catalogue } from './catalogue.js'
import type { Reachable } from './guard.js'
import type { StudioOptions } from './options.js'
import { Decisions } from './review/decisions.js'
import { FileHashes } from './review/file-hash.js'
import { CollectionFinder } from './review/finder.js'
import { HostFinder } from './review/host-finder.js'
import { reviewRoutes } from './review/routes.js'
import { routesOf } from './routes.js'
import { Streams } from './stream.js'
import { Watches } from './watch.js'

export interface Studio extends AsyncDisposable {
  /** URL of the page, with the token in its fragment. */
  readonly url: string
}

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])
/** Every interface: then no value of the header Host can be expected. */
const WILDCARDS = new Set(['0.0.0.0', '::'])
/** Limits of a request. A connection that is silent for `idleMs` is closed. */
const LIMITS = { headersMs: 5000, requestMs: 5000, idleMs: 60_000, connections: 256, headerBytes: 8192 }

/**
 * Serve the page of the runs below folders, until the result is disposed.
 * @throws UsageError on a folder that cannot be read or an unsafe address; EnvironmentError on a port in use
 */
export async function openStudio(options: StudioOptions): Promise<Studio> {
  const { host = '127.0.0.1', tls, proxyOrigin } = options
  if (!LOOPBACK.has(host) && tls === undefined && proxyOrigin === undefined)
    throw new UsageError(`--host ${host}: not encrypted (expected TLS or a proxy)`, {
      hint: 'add --tls-cert and --tls-key, or --behind-proxy ORIGIN; or keep loopback and use an ssh tunnel',
    })
  if (WILDCARDS.has(host) && proxyOrigin === undefined)
    throw new UsageError(`--host ${host}: no name of this machine (expected one that browsers use)`, {
      hint: 'name the address or the host name of this machine',
    })
  const token = randomBytes(32).toString('base64url')
  const roots = await rootsOf(options.folders)
  if (options.reviews !== undefined) await verifyReviewFile(options.reviews)
  const catalogue = new Catalogue(roots, options.processes)
  const hashes = new FileHashes()
  const finder = new CollectionFinder(roots, new HostFinder(roots, hashes))
  const streams = new Streams(new Watches(catalogue))
  const reachable = { hosts: new Set<string>(), origins: new Set<string>() }
  const reviews = reviewRoutes({
    folders: options.folders,
    finder,
    hashes,
    decisions: new Decisions(options.reviews ?? null, hashes, ownVersion()),
    writable: options.control === true || options.reviews !== undefined,
  })
  const app = routesOf({ options, reachable, token, catalogue, streams, reviews })
  const serverOptions = {
    headersTimeout: LIMITS.headersMs,
    requestTimeout: LIMITS.requestMs,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: LIMITS.headerBytes,
  }
  const server = createAdaptorServer({
    fetch: app.fetch,
    overrideGlobalObjects: false,
    ...(tls === undefined
      ? { createServer, serverOptions }
      : { createServer: createTlsServer, serverOptions: { ...serverOptions, ...tls } }),
  }) as Server & { timeout: number; closeAllConnections(): void }
  server.maxConnections = LIMITS.connections
  server.timeout = LIMITS.idleMs
  await listening(server, host, options.port ?? 0)
  const scheme = tls === undefined ? 'http' : 'https'
  const own = addReachable(reachable, scheme, host, (server.address() as AddressInfo).port, proxyOrigin)
  return {
    url: `${proxyOrigin ?? own}/#token=${token}`,
    async [Symbol.asyncDispose]() {
      streams.close()
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      await catalogue.close()
      await finder.close()
    },
  }
}

/** Note the names of the server, now that its port is known, and return its own origin. */
function addReachable(
  { hosts, origins }: { readonly hosts: Set<string>; readonly origins: Set<string> } & Reachable,
  scheme: string,
  host: string,
  port: number,
  proxyOrigin: string | undefined,
): string {
  const shown = host.includes(':') ? `[${host}]` : host
  const names = LOOPBACK.has(host) ? ['127.0.0.1', 'localhost', '[::1]'] : [shown]
  for (const name of names) {
    hosts.add(`${name}:${port}`.toLowerCase())
    origins.add(`${scheme}://${name}:${port}`.toLowerCase())
  }
  if (proxyOrigin !== undefined) {
    hosts.add(new URL(proxyOrigin).host)
    origins.add(new URL(proxyOrigin).origin)
  }
  return `${scheme}://${shown}:${port}`
}

async function rootsOf(folders: readonly string[]): Promise<string[]> {
  return await Promise.all(
    folders.map(async (folder) => {
      const real = await realpath(folder).catch((error: NodeJS.ErrnoException) => {
        throw new UsageError(cannotBeRead(folder, error.code, 'folder'), {
          hint: 'name a folder that contains runs',
          cause: error,
        })
      })
      if (!(await stat(real)).isDirectory())
        throw new UsageError(`${folder}: not a folder`, { hint: 'name the folder that holds the file' })
      return real
    }),
  )
}

/** Refuse a file that cannot take decisions before a reviewer makes the first one. A missing file is created later. */
async function verifyReviewFile(file: string): Promise<void> {
  const isThere = await stat(file).then(
    () => true,
    () => false,
  )
  if (isThere) await readReviews(file)
  else
    await stat(dirname(file)).catch((cause: NodeJS.ErrnoException) => {
      throw new UsageError(cannotBeRead(dirname(file), cause.code, 'folder'), {
        hint: 'create the folder, or correct --reviews',
        cause,
      })
    })
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host)
  await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'EADDRINUSE' ? 'in use' : `cannot be opened (${error.code})`
    throw new EnvironmentError(`${host} port ${port}: ${reason}`, {
      hint: 'choose another --port, or leave it out for a free one',
      cause: error,
    })
  })
}
