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

/** What is controlled from outside; values are plain JSON. */
export interface ServedRun {
  status(): unknown
  /** Resolves with the step from which on the command holds. */
  act(command: unknown): Promise<number>
  events(): AsyncIterable<unknown>
}

export interface RunServerOptions {
  /** A private (0700) directory for the socket. */
  readonly directory: string
  /** What every caller must show. */
  readonly token: string
  readonly run: ServedRun
}

export interface RunServer {
  /** `unix:` address to dial. */
  readonly address: string
  /** Lets watchers read to the end, at most a second, then removes the socket. */
  close(): Promise<void>
}

/** How long watchers may take to read the last events. */
const LAST_WORDS_MS = 1000

/**
 * Hosts the run service on a unix socket.
 * @throws EnvironmentError when there can be no socket in the directory
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

const UNAUTHENTICATED = Object.assign(new Error('the token is wrong'), {
  code: status.UNAUTHENTICATED,
  details: 'the token is wrong',
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
    const refusal = { kind: known?.code ?? 'runtime', message, hint: known?.hint ?? '' }
    return ActResponse.fromPartial({ outcome: { $case: 'refusal', value: refusal } })
  }
}

/** A run that fails ends its events, too: the last of them says how. */
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
    // said by the last event
  }
  stream.end()
}

const ROOM_AGAIN = ['drain', 'close', 'cancelled']

/** Leaves no listener behind: a slow reader of a long run comes here again and again. */
function drained(stream: ServerWritableStream<unknown, WatchResponse>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ROOM_AGAIN) stream.off(event, done)
      resolve()
    }
    for (const event of ROOM_AGAIN) stream.on(event, done)
  })
}
