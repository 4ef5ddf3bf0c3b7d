import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import type { Hono } from 'hono'
import { EnvironmentError, UsageError } from '../errors.js'
import type { Reachable } from './guard.js'
import type { StudioAddress } from './options.js'

export interface OpenServer {
  /** Origin that browsers use. */
  readonly origin: string
  /** End all connections. */
  close(): Promise<void>
}

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])
/** Every interface: then no value of the header Host can be expected. */
const WILDCARDS = new Set(['0.0.0.0', '::'])
/** Limits of a request. A connection that is silent for `idleMs` is closed. */
const LIMITS = { headersMs: 5000, requestMs: 5000, idleMs: 60_000, connections: 256, headerBytes: 8192 }

/** Refuse an address that is not encrypted, or that no browser can name. @throws UsageError */
export function refuseUnsafe({ host = '127.0.0.1', tls, proxyOrigin }: StudioAddress): void {
  if (!LOOPBACK.has(host) && tls === undefined && proxyOrigin === undefined)
    throw new UsageError(`--host ${host}: not encrypted (expected TLS or a proxy)`, {
      hint: 'add --tls-cert and --tls-key, or --behind-proxy ORIGIN; or keep loopback and use an ssh tunnel',
    })
  if (WILDCARDS.has(host) && proxyOrigin === undefined)
    throw new UsageError(`--host ${host}: no name of this machine (expected one that browsers use)`, {
      hint: 'name the address or the host name of this machine',
    })
}

/**
 * Serve routes with bounded requests.
 * @param routesFor returns the routes; the names of the server are added when its port is known
 * @throws UsageError on an unsafe address; EnvironmentError on a port in use
 */
export async function openServer(
  address: StudioAddress,
  routesFor: (reachable: Reachable) => Hono,
): Promise<OpenServer> {
  refuseUnsafe(address)
  const { host = '127.0.0.1', port = 0, tls, proxyOrigin } = address
  const reachable = { hosts: new Set<string>(), origins: new Set<string>() }
  const serverOptions = {
    headersTimeout: LIMITS.headersMs,
    requestTimeout: LIMITS.requestMs,
    connectionsCheckingInterval: 1000,
    maxHeaderSize: LIMITS.headerBytes,
  }
  const server = createAdaptorServer({
    fetch: routesFor(reachable).fetch,
    overrideGlobalObjects: false,
    ...(tls === undefined
      ? { createServer, serverOptions }
      : { createServer: createTlsServer, serverOptions: { ...serverOptions, ...tls } }),
  }) as Server & { timeout: number; closeAllConnections(): void }
  server.maxConnections = LIMITS.connections
  server.timeout = LIMITS.idleMs
  await listening(server, host, port)
  const scheme = tls === undefined ? 'http' : 'https'
  const own = addReachable(reachable, scheme, host, (server.address() as AddressInfo).port, proxyOrigin)
  return {
    origin: proxyOrigin ?? own,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
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
