import {
  type Metadata,
  Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { FreetumorError } from '../errors.js'
import { parseForeignJson } from '../foreign-text.js'
import {
  ActResponse,
  GetStatusResponse,
  RunServiceService,
  WatchResponse,
} from '../generated/freetumor/runtime/v1/runs.js'
import { bindSocket, closeSocket } from './grpc-socket.js'
import { sameSecret } from './secret.js'
import { newSocketPath } from './socket-path.js'

/** The run that is controlled; values are plain JSON. */
export interface ServedRun {
  status(): unknown
  /** Execute a command. Resolve with the first step under it. */
  act(command: unknown): Promise<number>
  events(): AsyncIterable<unknown>
}

export interface RunServerOptions {
  /** A private (0700) directory for the socket. */
  readonly directory: string
  /** Secret that every caller must send. */
  readonly token: string
  readonly run: ServedRun
}

export interface RunServer {
  /** `unix:` address of the socket. */
  readonly address: string
  /** Let watchers read to the end, for at most 1 s, then remove the socket. */
  close(): Promise<void>
}

/** Time for watchers to read the last events. */
const LAST_WORDS_MS = 1000

/**
 * Serve the run service on a unix socket.
 * @throws EnvironmentError if the directory allows no socket
 */
export async function openRunServer({ directory, token, run }: RunServerOptions): Promise<RunServer> {
  const path = await newSocketPath(directory, 'run.sock')
  const server = new Server()
  const allowed = (metadata: Metadata): boolean =>
    sameSecret(metadata.get('authorization')[0], `Bearer ${token}`)
  server.addService(RunServiceService, {
    getStatus: unary(allowed, async () =>
      GetStatusResponse.fromPartial({ statusJson: JSON.stringify(run.status()) }),
    ),
    act: unary(allowed, (request: { commandJson: string }) => act(run, request.commandJson)),
    watch: (stream: ServerWritableStream<unknown, WatchResponse>) => {
      if (!allowed(stream.metadata)) stream.emit('error', UNAUTHENTICATED)
      else void sendEvents(run, stream)
    },
  })
  const address = await bindSocket(server, path)
  return {
    address,
    async close() {
      await new Promise<void>((resolve) => {
        const enough = setTimeout(resolve, LAST_WORDS_MS)
        server.tryShutdown(() => {
          clearTimeout(enough)
          resolve()
        })
      })
      await closeSocket(server, path)
    },
  }
}

const UNAUTHENTICATED = Object.assign(new Error('wrong token'), {
  code: status.UNAUTHENTICATED,
  details: 'wrong token',
})

function unary<Request, Response>(
  allowed: (metadata: Metadata) => boolean,
  answer: (request: Request) => Promise<Response>,
) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    if (!allowed(call.metadata)) callback(UNAUTHENTICATED)
    else
      answer(call.request).then(
        (response) => callback(null, response),
        (error: Error) => callback({ code: status.INTERNAL, details: error.message }),
      )
  }
}

async function act(run: ServedRun, commandJson: string): Promise<ActResponse> {
  try {
    const step = await run.act(parseForeignJson(commandJson, 'command'))
    return ActResponse.fromPartial({ outcome: { $case: 'step', value: BigInt(step) } })
  } catch (error) {
    const known = error instanceof FreetumorError ? error : null
    const message = error instanceof Error ? error.message : String(error)
    const refusal = { kind: known?.code ?? 'runtime', message, hint: known?.commandHint ?? '' }
    return ActResponse.fromPartial({ outcome: { $case: 'refusal', value: refusal } })
  }
}

/** Send events until they end. A failing run ends its events as well: its last event holds the reason. */
async function sendEvents(
  run: ServedRun,
  stream: ServerWritableStream<unknown, WatchResponse>,
): Promise<void> {
  try {
    for await (const event of run.events()) {
      if (stream.cancelled || stream.destroyed) return
      const taken = stream.write(WatchResponse.fromPartial({ eventJson: JSON.stringify(event) }))
      if (!taken) await drained(stream)
    }
  } catch {
    // the last event holds the reason
  }
  stream.end()
}

const ROOM_AGAIN = ['drain', 'close', 'cancelled']

/** Wait until a stream accepts data, and remove all listeners: a slow reader of a long run waits often. */
function drained(stream: ServerWritableStream<unknown, WatchResponse>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ROOM_AGAIN) stream.off(event, done)
      resolve()
    }
    for (const event of ROOM_AGAIN) stream.on(event, done)
  })
}
