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
 * Results of cases are the longest messages. There are no keepalive pings: on a unix socket a dead peer is an ended stream
 * within milliseconds, and a ping would only take a job for dead that somebody suspended.
 */
const MAX_MESSAGE_BYTES = 16 << 20

export interface ControlServerOptions {
  /** A private (0700) directory for the socket. */
  readonly directory: string
  /** What the job must show in its first message. */
  readonly token: string
}

export interface ControlServer extends AsyncDisposable {
  /** `unix:` address to dial. */
  readonly address: string
  /** The first message of the one job that may attach; whoever is refused does not count. Rejects when the server is closed. */
  readonly attached: Promise<Hello>
  /** Everything after the hello but acknowledgements, until the stream ends, for whatever reason. For one reader. */
  readonly messages: AsyncIterable<AttachRequest>
  /**
   * Resolves with the job's acknowledgement, whose `step` is the first at which the command holds.
   * @throws UsageError with the job's own refusal
   * @throws RuntimeCrashError when no job is attached or the stream ends before the answer
   */
  sendCommand(command: Command['command']): Promise<CommandAck>
  /** Ends the stream, rejects what waits, and removes the socket. */
  close(): Promise<void>
}

/**
 * Hosts the control service on a unix socket for exactly one job.
 * @throws EnvironmentError when there can be no socket in the directory
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
      return Promise.reject(new RuntimeCrashError('the job has ended or not yet begun'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      stream.write(AttachResponse.fromPartial({ message: { $case: 'command', value: { id, command } } }))
    })
  }

  end(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    const error = new RuntimeCrashError(reason)
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
    if (!hello) return 'a hello was expected first'
    if (!sameSecret(hello.token, this.token)) return 'the token is wrong'
    if (hello.protocol !== PROTOCOL)
      return `protocol ${PROTOCOL} was expected, the runtime speaks ${hello.protocol}`
    return this.#stream ? 'a job is attached already' : null
  }

  #receive(message: AttachRequest): void {
    if (message.message?.$case !== 'ack') {
      this.#queue.push(message)
      return
    }
    const ack = message.message.value
    const waiting = this.#pending.get(ack.id)
    this.#pending.delete(ack.id)
    if (ack.error) waiting?.reject(new UsageError(`the command was refused: ${ack.error}`))
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

/** By the event, as the library wants it: a destroyed stream would never tell the other side its status. */
function refuse(stream: Stream, details: string): void {
  stream.emit('error', Object.assign(new Error(details), { code: status.UNAUTHENTICATED, details }))
}
