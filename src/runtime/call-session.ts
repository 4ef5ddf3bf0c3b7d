import { onAbort } from '../abort.js'
import { type FreetumorError, RuntimeCrashError } from '../errors.js'
import type { Hello, JobEvent } from '../generated/freetumor/runtime/v1/control.js'
import type {
  PaintAnswer,
  PaintCall,
  SegmentAnswer,
  SegmentCall,
  ServeFacts,
  ServeSession,
} from '../pipeline/ports/serving.js'
import type { ControlServer } from '../transport/control-server.js'
import type { Message } from '../transport/frames.js'
import {
  type Answer,
  CALL_REQUEST,
  CALL_RESULT,
  toAnswer,
  toPaintAnswer,
  toPaintMessage,
  toSegmentAnswer,
  toSegmentMessage,
} from './call-messages.js'
import { reviveError } from './events.js'
import { callCancelled, runtimeClosed, unsupportedMessage } from './job-errors.js'

/** Parts of a started job that its calls need. */
export interface ServingJob {
  readonly control: Pick<ControlServer, 'sendCommand'>
  /** Iterate over the events until the job ends; throw the reason of its failure. */
  events(): AsyncIterable<{ readonly event: JobEvent; readonly hello: Hello }>
  close(): Promise<void>
}

/** Function that starts a job whose messages are answered by a function. */
export type StartServing = (
  answer: (rank: number, message: Message) => Promise<Message | undefined>,
) => Promise<ServingJob>

interface OpenCall {
  readonly id: number
  readonly message: Message
  sent: boolean
  settle(answer: Answer): void
  fail(error: unknown): void
}

/**
 * Calls to a warm runtime. The runtime requests the next call when it has room, so waiting calls stay in this process. A
 * call that is cancelled before it was sent never reaches the runtime.
 */
export class CallSession implements ServeSession {
  readonly ready: Promise<ServeFacts>
  readonly #job: Promise<ServingJob>
  readonly #open = new Map<number, OpenCall>()
  readonly #queue: OpenCall[] = []
  /** Requests of the runtime that wait for a call. */
  readonly #hungry: ((message: Message) => void)[] = []
  #nextId = 1
  #end: FreetumorError | null = null
  #closing: Promise<void> | null = null

  constructor(start: StartServing) {
    this.#job = start((rank, message) => this.#answer(rank, message))
    this.ready = this.#follow()
    this.ready.catch(() => {})
  }

  segment(call: SegmentCall, signal?: AbortSignal): Promise<SegmentAnswer> {
    return this.#call(
      (id) => toSegmentMessage(id, call),
      (answer) => toSegmentAnswer(call, answer),
      signal,
    )
  }

  paint(call: PaintCall, signal?: AbortSignal): Promise<PaintAnswer> {
    return this.#call(
      (id) => toPaintMessage(id, call),
      (answer) => toPaintAnswer(call, answer),
      signal,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#finish(runtimeClosed())
  }

  #call<T>(
    toMessage: (id: number) => Message,
    toResult: (answer: Answer) => T,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    if (this.#end !== null) return Promise.reject(this.#end)
    if (signal?.aborted) return Promise.reject(callCancelled())
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const release = onAbort(signal, () => this.#cancel(id))
      const done = (): void => {
        this.#open.delete(id)
        release()
      }
      const call: OpenCall = {
        id,
        message: toMessage(id),
        sent: false,
        settle: (answer) => {
          done()
          if (answer.refusal) reject(reviveError(answer.refusal))
          else resolve(toResult(answer))
        },
        fail: (error) => {
          done()
          reject(error)
        },
      }
      this.#open.set(id, call)
      this.#queue.push(call)
      this.#serveHungry()
    })
  }

  #serveHungry(): void {
    while (this.#hungry.length > 0 && this.#queue.length > 0) {
      const call = this.#queue.shift()!
      call.sent = true
      this.#hungry.shift()!(call.message)
    }
  }

  async #answer(rank: number, message: Message): Promise<Message | undefined> {
    if (message.kind === CALL_REQUEST)
      return new Promise((resolve) => {
        this.#hungry.push(resolve)
        this.#serveHungry()
      })
    if (message.kind !== CALL_RESULT) throw unsupportedMessage(rank, message.kind)
    const answer = toAnswer(message)
    const call = this.#open.get(answer.id)
    try {
      call?.settle(answer)
    } catch (error) {
      call?.fail(error)
    }
    return undefined
  }

  #cancel(id: number): void {
    const call = this.#open.get(id)
    if (call === undefined) return
    call.fail(callCancelled())
    const at = this.#queue.indexOf(call)
    if (at >= 0) this.#queue.splice(at, 1)
    if (call.sent) void this.#tellCancelled(id)
  }

  async #tellCancelled(id: number): Promise<void> {
    const { control } = await this.#job
    // the call may have ended meanwhile
    await control.sendCommand({ $case: 'cancelCall', value: { id: BigInt(id) } }).catch(() => {})
  }

  /** Resolve at the runtime's `ready`, and listen until the runtime ends. */
  #follow(): Promise<ServeFacts> {
    return new Promise((resolve, reject) => {
      const listen = async (): Promise<never> => {
        for await (const { event, hello } of (await this.#job).events())
          if (event.event?.$case === 'ready') resolve(factsOf(hello))
        throw new RuntimeCrashError('the runtime ended before it was closed', {
          hint: 'open the runtime again; its logs contain the reason',
        })
      }
      listen().catch(async (error) => {
        await this.#finish(error).catch(() => {})
        reject(this.#end)
      })
    })
  }

  /** The first reason stays. */
  async #finish(reason: FreetumorError): Promise<void> {
    this.#end ??= reason
    this.#queue.length = 0
    for (const call of [...this.#open.values()]) call.fail(this.#end)
    this.#closing ??= this.#job.then(
      (job) => job.close(),
      () => {},
    )
    await this.#closing
  }
}

function factsOf({ device, python, torch, monai }: Hello): ServeFacts {
  return { device, versions: { python, torch, monai } }
}
