import type { CommandResult, Refusal, RunCommand, RunDetail, RunList, RunUpdate } from '../messages.js'

/** The server refused a request, or does not answer. */
export class ServerError extends Error {
  constructor(
    message: string,
    readonly hint: string,
    /** 0: no answer. */
    readonly status: number,
  ) {
    super(message)
  }
}

const TOKEN = 'freetumor-token'
const RECONNECT_MS = [500, 1000, 2000, 5000]

/**
 * Take the token from the fragment of the address, and remove it from the address and the history. The token stays in this tab
 * until the tab closes.
 */
export function takeToken(): void {
  const found = /^#token=([\w-]+)$/.exec(location.hash)?.[1]
  if (found === undefined) return
  sessionStorage.setItem(TOKEN, found)
  history.replaceState(null, '', '/#/')
}

export const readRunList = (): Promise<RunList> => json('/api/runs')
export const readDetail = (id: string): Promise<RunDetail> => json(`/api/runs/${id}`)

/** Return the example tumors of a run as JSON text: a page compares it with the text that it shows. */
export async function readExampleTumors(id: string): Promise<string> {
  return await (await request(`/api/runs/${id}/example-tumors`)).text()
}

export async function readLog(id: string, node: number, rank: number): Promise<string> {
  return await (await request(`/api/runs/${id}/logs/${node}/${rank}`)).text()
}

export async function sendCommand(id: string, command: RunCommand): Promise<CommandResult> {
  return await post(`/api/runs/${id}/commands`, command)
}

/**
 * Follow runs until the signal aborts. A lost connection is opened again; the first update of a connection has `reset`.
 * @param onLost called when the connection is lost; null when it is back
 */
export async function followRuns(
  ids: readonly string[],
  onUpdate: (update: RunUpdate) => void,
  onLost: (error: ServerError | null) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const answer = await request(`/api/stream?runs=${ids.join(',')}`, { signal })
      onLost(null)
      for await (const update of updatesOf(answer)) {
        attempt = 0
        onUpdate(update)
      }
      onLost(new ServerError('The connection was closed.', 'The page connects again.', 0))
    } catch (error) {
      if (signal.aborted) return
      const lost = asServerError(error)
      onLost(lost)
      // another attempt would be refused too
      if (lost.status >= 400 && lost.status < 500) return
    }
    await new Promise((resolve) =>
      setTimeout(resolve, RECONNECT_MS[Math.min(attempt, RECONNECT_MS.length - 1)]),
    )
  }
}

/** Return any error as one of the server. */
export function asServerError(error: unknown): ServerError {
  if (error instanceof ServerError) return error
  return new ServerError('The server does not answer.', 'Start `freetumor studio` again and open its URL.', 0)
}

async function* updatesOf(answer: Response): AsyncIterable<RunUpdate> {
  let rest = ''
  for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
    const messages = (rest + chunk).split('\n\n')
    rest = messages.pop()!
    for (const message of messages)
      if (message.startsWith('data: ')) yield JSON.parse(message.slice('data: '.length)) as RunUpdate
  }
}

/** Return the JSON answer of a path. @throws ServerError */
export async function json<T>(path: string): Promise<T> {
  return (await (await request(path)).json()) as T
}

/** Send JSON, and return the JSON answer. @throws ServerError */
export async function post<T>(path: string, body: unknown): Promise<T> {
  const answer = await request(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  return (await answer.json()) as T
}

/** Send a request with the token. @throws ServerError for any answer other than a success */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const token = sessionStorage.getItem(TOKEN)
  if (token === null)
    throw new ServerError('This tab has no token.', 'Open the URL that `freetumor studio` printed.', 401)
  const headers = { ...init.headers, Authorization: `Bearer ${token}` }
  const answer = await fetch(path, { ...init, headers, credentials: 'omit' })
  if (answer.ok) return answer
  const refusal = (await answer.json().catch(() => null)) as Refusal | null
  const { message, hint } = refusal?.error ?? { message: `The server answered ${answer.status}.`, hint: '' }
  throw new ServerError(message, hint, answer.status)
}
