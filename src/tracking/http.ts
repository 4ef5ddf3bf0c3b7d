import { onAbort } from '../abort.js'
import { EnvironmentError, FreetumorError } from '../errors.js'
import { asRecord, parseForeignJson } from '../foreign-text.js'
import { oneLine } from '../plain-text.js'
import { ownVersion } from '../training/run-version.js'
import type { TrackerName } from './tracker.js'

/** Time for a whole answer. */
const ANSWER_MS = 10_000
const MAX_ANSWER_BYTES = 4 * 2 ** 20
/** Longest wait that a server can demand: longer ones are mistakes, and overflow a timer. */
const MAX_RETRY_AFTER_MS = 3_600_000
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/

/** A request failed: the server does not answer, or refuses. The caller tries again unless `isFinal`. */
export class TrackerError extends EnvironmentError {
  constructor(
    message: string,
    hint: string,
    /** HTTP status; null without an answer. */
    readonly status: number | null,
    /** Error code in the answer, such as RESOURCE_DOES_NOT_EXIST. */
    readonly errorCode: string | null = null,
    /** Wait that the server demands before the next request. */
    readonly retryAfterMs = 0,
    /** True: the protocol forbids to send the same request again. */
    readonly isFinal = false,
  ) {
    super(message, { hint })
  }
}

/** Sends requests to one server. */
export class HttpClient {
  readonly #base: URL

  /**
   * @param authorization headers with credentials
   * @param variables names of the environment variables that hold them, for messages
   * @param retryable the only error statuses after which a request may be sent again. Default: all
   */
  constructor(
    private readonly tracker: TrackerName,
    base: string,
    private readonly authorization: Readonly<Record<string, string>>,
    private readonly variables: string,
    private readonly retryable: readonly number[] | null = null,
  ) {
    this.#base = new URL(base)
  }

  /**
   * Send a request and return the JSON of its answer. Certificates are verified, redirects are refused, and the size of an
   * answer and the time for it are limited.
   * @param path appended to the path of the base
   * @throws TrackerError
   */
  async request(method: 'GET' | 'POST', path: string, signal: AbortSignal, body?: unknown): Promise<unknown> {
    const { origin, pathname, protocol, hostname } = this.#base
    if (Object.keys(this.authorization).length > 0 && protocol !== 'https:' && !LOOPBACK.test(hostname))
      throw this.#error(`${origin}: credentials are sent over https only`, 'write the address with https://')
    const ended = new AbortController()
    let late = false
    const limit = setTimeout(() => {
      late = true
      ended.abort()
    }, ANSWER_MS)
    const release = onAbort(signal, () => ended.abort())
    try {
      const response = await fetch(`${origin}${pathname.replace(/\/$/, '')}${path}`, {
        method,
        redirect: 'manual',
        signal: ended.signal,
        headers: {
          ...this.authorization,
          accept: 'application/json',
          // a server may close an idle connection at the moment of the next request
          connection: 'close',
          'user-agent': `freetumor/${ownVersion()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await boundedText(response)
      if (text === null) throw this.#error(`${origin}: the answer is too large`, 'name an address of the API')
      if (!response.ok) throw this.#refused(response, text)
      const answer = jsonOf(text || '{}')
      if (answer === undefined)
        throw this.#error(`${origin}: the answer is not JSON`, 'name an address of the API')
      return answer
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof FreetumorError) throw error
      const reason = late ? `within ${ANSWER_MS / 1000} s` : codeOf(error)
      throw this.#error(`${origin} does not answer (${reason})`, 'start the server, or correct the address')
    } finally {
      clearTimeout(limit)
      release()
    }
  }

  #refused({ status, headers }: Response, text: string): TrackerError {
    const { origin } = this.#base
    if (status >= 300 && status < 400)
      return this.#error(
        `${origin} redirects to ${hostOf(headers.get('location'), origin)}, which is not followed`,
        'configure the final address',
        status,
      )
    const { error_code: code, message } = asRecord(jsonOf(text)) ?? {}
    const said = typeof message === 'string' ? `: ${oneLine(message).slice(0, 200)}` : ''
    const hint = status === 401 || status === 403 ? `set ${this.variables}` : 'read the log of the server'
    return new TrackerError(
      `${this.tracker}: ${origin} answers ${status}${said}`,
      hint,
      status,
      typeof code === 'string' ? code : null,
      waitOf(headers.get('retry-after')),
      this.retryable !== null && !this.retryable.includes(status),
    )
  }

  #error(text: string, hint: string, status: number | null = null): TrackerError {
    return new TrackerError(`${this.tracker}: ${text}`, hint, status)
  }
}

/** Return the text of an answer; null if it is too large. */
async function boundedText(response: Response): Promise<string | null> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.length
    // leaving the loop closes the connection
    if (bytes > MAX_ANSWER_BYTES) return null
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** Return the wait of a `Retry-After`, in seconds or until a date; 0 for none. */
function waitOf(retryAfter: string | null): number {
  if (retryAfter === null) return 0
  const milliseconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : Date.parse(retryAfter) - Date.now()
  return milliseconds > 0 ? Math.min(milliseconds, MAX_RETRY_AFTER_MS) : 0
}

function hostOf(location: string | null, origin: string): string {
  try {
    return new URL(location ?? '', origin).host
  } catch {
    return 'an unknown address'
  }
}

/** Return the value of a JSON text; undefined if it is none. */
function jsonOf(text: string): unknown {
  try {
    return parseForeignJson(text, 'answer')
  } catch {
    return undefined
  }
}

/** Return the system's code of a failed connection, such as ECONNREFUSED. */
function codeOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: unknown; message?: unknown } }
  const code = cause?.code ?? (error as { code?: unknown }).code
  return typeof code === 'string' ? oneLine(code) : oneLine(String(cause?.message ?? error)).slice(0, 200)
}
