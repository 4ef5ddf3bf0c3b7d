import { createHash, timingSafeEqual } from 'node:crypto'
import type { Context, MiddlewareHandler } from 'hono'
import type { Refusal } from './messages.js'

/** Longest path and query of a request. */
const MAX_URL = 2048

/** Names and origins under which the server is reached. */
export interface Reachable {
  /** Accepted values of the header Host. */
  readonly hosts: ReadonlySet<string>
  /** Accepted values of the header Origin. */
  readonly origins: ReadonlySet<string>
}

/**
 * Headers of every answer. Scripts and styles come from this server alone; charts set styles through the object model, which
 * the policy allows. The page needs no exception.
 */
const HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
  'Cache-Control': 'no-store',
}

/** Set the security headers of every answer, errors included. */
export const secured: MiddlewareHandler = async (context, next) => {
  await next()
  for (const [name, value] of Object.entries(HEADERS)) context.res.headers.set(name, value)
}

/** Refuse requests of other sites: a foreign Host (DNS rebinding), a foreign Origin, an unusual method or a long URL. */
export function refuseForeign({ hosts, origins }: Reachable): MiddlewareHandler {
  return async (context, next) => {
    const { method, url } = context.req
    const host = context.req.header('host')?.toLowerCase() ?? ''
    const origin = context.req.header('origin')
    if (!hosts.has(host))
      return refuse(`Host: not served (found ${host})`, 'open the URL that it printed', 403)
    if (origin !== undefined && !origins.has(origin.toLowerCase()))
      return refuse(`Origin: not served (found ${origin})`, 'open the URL that it printed', 403)
    // an answer to HEAD would open a volume or a stream without a reader
    if (!['GET', 'POST'].includes(method))
      return refuse(`${method}: not allowed (expected GET or POST)`, 'use GET', 405)
    if (url.length > MAX_URL + host.length)
      return refuse(`URL: too long (expected at most ${MAX_URL} characters)`, 'shorten it', 414)
    await next()
  }
}

/** Refuse requests for data that come from another site or lack the token. */
export function requireToken(token: string): MiddlewareHandler {
  return async (context, next) => {
    if (isForeignSite(context)) return refuseSite(context)
    if (!hasToken(context, token))
      return refuse('token: missing or wrong', 'open the URL that `freetumor studio` printed', 401)
    await next()
  }
}

/** Return whether a browser marks a request as one of another site. */
export function isForeignSite({ req }: Context): boolean {
  const site = req.header('sec-fetch-site')
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}

export function refuseSite({ req }: Context): Response {
  const site = req.header('sec-fetch-site')
  return refuse(`Sec-Fetch-Site: not allowed (found ${site})`, 'open the URL that it printed', 403)
}

/** Return whether a request carries a token. Digests have one length, so the comparison takes the same time for every token. */
export function hasToken({ req }: Context, token: string): boolean {
  return timingSafeEqual(digest(`Bearer ${token}`), digest(req.header('authorization') ?? ''))
}

/** Return an error as an answer. */
export function refuse(message: string, hint: string, status: number): Response {
  const body: Refusal = { error: { message, hint } }
  return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } })
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
