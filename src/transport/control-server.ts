import { Server, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { RuntimeCrashError, UsageError } from '../errors.js'
import {
  type AttachRequest,
  AttachResponse,
  type Command,
  type CommandAck,
  ControlServiceService,
  type Hello,
} from '../generated/freetumor/runtime/v1/control.js'
import { PROTOCOL } from './frames.js'
import { bindSocket, closeSocket } from './grpc-socket.js'
import { sameSecret } from './secret.js'
import { newSocketPath } from './socket-path.js'

type Stream = ServerDuplexStream<AttachRequest, AttachResponse>

/**
 * Results of cases are the longest messages. There are no keepalive pings: on a unix socket, the stream of a
 * killed peer ends within milliseconds. A ping would only mistake a suspended job for a killed one.
 */
const MAX_MESSAGE_BYTES = 16 << 20

export interface ControlServerOptions {
  /** A private (0700) directory for the socket. */
  readonly directory: string
  /** Secret that the job must send in its first message. */
  readonly token: string
}

export interface ControlServer extends AsyncDisposable {
  /** `unix:` address of the socket. */
  readonly address: string
  /** Hello of the one job that may attach; refused peers do not count. Rejects if the server is closed. */
  readonly attached: Promise<Hello>
  /**
   * All messages after the hello except acknowledgements, until the stream ends for any reason. For one
   * reader.
   */
  readonly messages: AsyncIterable<AttachRequest>
  /**
   * Send a command. Resolve with the acknowledgement, whose `step` is the first one under the command.
   * @throws UsageError with the refusal of the job
   * @throws RuntimeCrashError if no job is attached, or if the stream ends before the answer
   */
  sendCommand(command: Command['command']): Promise<CommandAck>
  /** End the stream, reject pending commands, and remove the socket. */
  close(): Promise<void>
}

/**
 * Serve the control service on a unix socket for exactly one job.
 * @throws EnvironmentError if the directory allows no socket
 */
export async function openControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const path = await newSocketPath(options.directory, 'control.sock')
  const session = new ControlSession(options.token)
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  })
  server.addService(ControlServiceService, { attach: (stream: Stream) => session.attach(stream) })
  const close = async (): Promise<void> => {
    session.end('the control server was closed')
    await closeSocket(server, path)
  }
  const address = await bindSocket(server, path)
  return {
    address,
    attached: session.attached,
    messages: session.messages,
    sendCommand: (command) => session.sendCommand(command),
    close,
    [Symbol.asyncDispose]: close,
  }
}

interface Pending {
  readonly resolve: (ack: CommandAck) => void
  readonly reject: (error: unknown) => void
}

const REFUSED_HINT = 'correct the value of the command'

function noJob(message: string): RuntimeCrashError {
  return new RuntimeCrashError(message, { hint: 'read the logs of the run' })
}

class ControlSession {
  readonly attached: Promise<Hello>
  readonly messages: AsyncIterable<AttachRequest>
  readonly #queue = new MessageQueue()
  readonly #pending = new Map<bigint, Pending>()
  #resolveAttached!: (hello: Hello) => void
  #rejectAttached!: (error: unknown) => void
  #stream: Stream | null = null
  #ended = false
  #nextId = 1n

  constructor(private readonly token: string) {
    this.attached = new Promise((resolve, reject) => {
      this.#resolveAttached = resolve
      this.#rejectAttached = reject
    })
    this.attached.catch(() => {})
    this.messages = this.#queue
  }

  attach(stream: Stream): void {
    stream.once('data', (first: AttachRequest) => this.#greet(stream, first))
    stream.on('error', () => this.#lost(stream))
    stream.on('end', () => {
      stream.end()
      this.#lost(stream)
    })
    stream.on('cancelled', () => this.#lost(stream))
  }

  sendCommand(command: Command['command']): Promise<CommandAck> {
    const stream = this.#stream
    if (!stream || this.#ended)
      return Promise.reject(noJob('no job is attached: it has ended or not yet started'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      stream.write(AttachResponse.fromPartial({ message: { $case: 'command', value: { id, command } } }))
    })
  }

  end(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    const error = noJob(reason)
    for (const waiting of this.#pending.values()) waiting.reject(error)
    this.#pending.clear()
    this.#rejectAttached(error)
    this.#queue.end()
    this.#stream?.end()
  }

  #greet(stream: Stream, first: AttachRequest): void {
    const hello = first.message?.$case === 'hello' ? first.message.value : null
    const refusal = this.#refusal(hello)
    if (!hello || refusal !== null) {
      refuse(stream, refusal ?? '')
      return
    }
    this.#stream = stream
    stream.write(AttachResponse.fromPartial({ message: { $case: 'welcome', value: { protocol: PROTOCOL } } }))
    stream.on('data', (message: AttachRequest) => this.#receive(message))
    this.#resolveAttached(hello)
  }

  #refusal(hello: Hello | null): string | null {
    if (!hello) return 'wrong first message (expected a hello)'
    if (!sameSecret(hello.token, this.token)) return 'wrong token'
    if (hello.protocol !== PROTOCOL) return `wrong protocol (expected ${PROTOCOL}, found ${hello.protocol})`
    return this.#stream ? 'another job is attached' : null
  }

  #receive(message: AttachRequest): void {
    if (message.message?.$case !== 'ack') {
      this.#queue.push(message)
      return
    }
    const ack = message.message.value
    const waiting = this.#pending.get(ack.id)
    this.#pending.delete(ack.id)
    if (ack.error) waiting?.reject(new UsageError(`command refused: ${ack.error}`, { hint: REFUSED_HINT }))
    else waiting?.resolve(ack)
  }

  #lost(stream: Stream): void {
    if (stream === this.#stream) this.end('the job has ended')
  }
}

/** A queue with one reader. */
class MessageQueue implements AsyncIterable<AttachRequest> {
  readonly #waiting: AttachRequest[] = []
  #wake: (() => void) | null = null
  #ended = false

  push(message: AttachRequest): void {
    this.#waiting.push(message)
    this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<AttachRequest> {
    for (;;) {
      const message = this.#waiting.shift()
      if (message) yield message
      else if (this.#ended) return
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }
}

/** Refuse a stream by an error event: gRPC sends no status on a destroyed stream. */
function refuse(stream: Stream, details: string): void {
  stream.emit('error', Object.assign(new Error(details), { code: status.UNAUTHENTICATED, details }))
}
