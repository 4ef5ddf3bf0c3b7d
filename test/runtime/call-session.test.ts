import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { CheckpointError, RuntimeCrashError, StoppedError, UsageError } from '../../src/errors.js'
import { Call, CallResult } from '../../src/generated/freetumor/runtime/v1/calls.js'
import type { Command, Hello, JobEvent } from '../../src/generated/freetumor/runtime/v1/control.js'
import { CallSession } from '../../src/runtime/call-session.js'
import type { Message, Tensor } from '../../src/transport/frames.js'

const REQUEST: Message = {
  kind: 'freetumor.runtime.v1.CallRequest',
  body: new Uint8Array(),
  tensors: new Map(),
}
const HELLO = { device: 'cpu', python: '3.11', torch: '2.13', monai: '1.6' } as Hello
const volume = { image: new Int16Array(8), shape: [2, 2, 2], affine: null, logits: false } as const

/** A runtime that a test plays: it asks for calls, answers them, and dies when it is told to. */
function played() {
  let answer!: (rank: number, message: Message) => Promise<Message | undefined>
  let die!: (error: unknown) => void
  const death = new Promise<never>((_, reject) => {
    die = reject
  })
  death.catch(() => {})
  const commands: Command['command'][] = []
  let closed = 0
  const session = new CallSession(async (given) => {
    answer = given
    return {
      control: {
        sendCommand: async (command) => {
          commands.push(command)
          return { id: 1n, step: 0n, error: '' }
        },
      },
      async *events() {
        const event: JobEvent = { event: { $case: 'ready', value: { step: 0n, parameters: {} } } }
        yield { event, hello: HELLO }
        await death
      },
      close: async () => void closed++,
    }
  })
  return {
    session,
    commands,
    die,
    closed: () => closed,
    next: async () => Call.decode((await answer(0, REQUEST))!.body),
    ask: () => answer(0, REQUEST),
    say: (message: Message) => answer(0, message),
    answer: (
      id: bigint,
      tensors: Record<string, Tensor>,
      more: Parameters<typeof CallResult.fromPartial>[0] = {},
    ) =>
      answer(0, {
        kind: 'freetumor.runtime.v1.CallResult',
        body: CallResult.encode(CallResult.fromPartial({ id, networkSeconds: 0.5, ...more })).finish(),
        tensors: new Map(Object.entries(tensors)),
      }),
  }
}

const labels: Tensor = { elementType: 'uint8', shape: [2, 2, 2], data: new Uint8Array(8).fill(3) }

describe('calls to a warm runtime', () => {
  it('report its device and versions after the networks are loaded', async () => {
    const { session } = played()
    expect(await session.ready).toEqual({
      device: 'cpu',
      versions: { python: '3.11', torch: '2.13', monai: '1.6' },
    })
  })

  it('are handed out in order as the runtime asks, and answered in any order', async () => {
    const runtime = played()
    await runtime.session.ready
    const asked = runtime.next()
    const [first, second] = [runtime.session.segment(volume), runtime.session.segment(volume)]
    const [one, two] = [await asked, await runtime.next()]
    expect([one.id, two.id]).toEqual([1n, 2n])
    await runtime.answer(2n, { labels: { ...labels, data: new Uint8Array(8).fill(2) } })
    await runtime.answer(1n, { labels })
    expect((await first).labels[0]).toBe(3)
    expect(await second).toEqual({ labels: new Uint8Array(8).fill(2), logits: null, networkSeconds: 0.5 })
  })

  it('that the runtime refuses have its own message, and the next one succeeds', async () => {
    const runtime = played()
    await runtime.session.ready
    const calls = [runtime.session.segment(volume), runtime.session.segment(volume)]
    await runtime.next()
    await runtime.answer(1n, {}, { refusal: { kind: 'usage', message: 'no such organ', hint: 'choose' } })
    await expect(calls[0]).rejects.toEqual(new UsageError('no such organ', { hint: 'choose' }))
    await runtime.next()
    await runtime.answer(2n, { labels })
    expect((await calls[1]!).labels.length).toBe(8)
  })

  it('with an answer of another shape fail alone', async () => {
    const runtime = played()
    await runtime.session.ready
    const call = runtime.session.segment(volume)
    await runtime.next()
    await runtime.answer(1n, { labels: { ...labels, shape: [8] } })
    await expect(call).rejects.toThrow('the runtime sent a wrong tensor labels (found uint8 [8])')
  })

  it('cancelled before they are sent never reach the runtime; a later cancellation is sent to it', async () => {
    const runtime = played()
    await runtime.session.ready
    const [early, late] = [new AbortController(), new AbortController()]
    const calls = [
      runtime.session.segment(volume, late.signal),
      runtime.session.segment(volume, early.signal),
      runtime.session.segment(volume),
    ]
    calls.forEach((call) => void call.catch(() => {}))
    expect((await runtime.next()).id).toBe(1n)
    early.abort()
    late.abort()
    await expect(calls[0]).rejects.toBeInstanceOf(StoppedError)
    await expect(calls[1]).rejects.toBeInstanceOf(StoppedError)
    expect((await runtime.next()).id).toBe(3n)
    expect(runtime.commands).toEqual([{ $case: 'cancelCall', value: { id: 1n } }])
    // its answer may be on the way
    await runtime.answer(1n, { labels })
    await runtime.answer(3n, { labels })
    expect((await calls[2]!).labels.length).toBe(8)
  })

  it('with a signal that is aborted already are refused at once', async () => {
    const { session } = played()
    await expect(session.segment(volume, AbortSignal.abort())).rejects.toBeInstanceOf(StoppedError)
  })

  it('all fail with the reason of a crash, later ones too, and remaining files are removed', async () => {
    const runtime = played()
    await runtime.session.ready
    const calls = [runtime.session.segment(volume), runtime.session.segment(volume)]
    await runtime.next()
    const reason = new RuntimeCrashError('rank 0 was killed by SIGKILL')
    runtime.die(reason)
    for (const call of calls) await expect(call).rejects.toBe(reason)
    await expect(runtime.session.segment(volume)).rejects.toBe(reason)
    await runtime.session[Symbol.asyncDispose]()
    expect(runtime.closed()).toBe(1)
  })

  it('fail by themselves when the session is disposed', async () => {
    const runtime = played()
    await runtime.session.ready
    const call = runtime.session.segment(volume)
    await runtime.session[Symbol.asyncDispose]()
    await expect(call).rejects.toThrow('the runtime was closed')
    expect(runtime.closed()).toBe(1)
  })

  it('fail if the runtime did not start: its reason is reported', async () => {
    const reason = new CheckpointError('given.pt: not a file')
    const session = new CallSession(() => Promise.reject(reason))
    await expect(session.ready).rejects.toBe(reason)
    await expect(session.segment(volume)).rejects.toBe(reason)
  })

  it('are all that it speaks of', async () => {
    const runtime = played()
    await runtime.session.ready
    await expect(runtime.say({ ...REQUEST, kind: 'freetumor.runtime.v1.StepRequest' })).rejects.toThrow(
      'rank 0: sent an unsupported message (freetumor.runtime.v1.StepRequest)',
    )
  })
})

it('many calls at once share one listener on a signal, and leave none', async () => {
  const runtime = played()
  const controller = new AbortController()
  const { signal } = controller
  const calls = Array.from({ length: 50 }, () => runtime.session.segment(volume, signal))
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  controller.abort()
  const outcomes = await Promise.allSettled(calls)
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'stopped' } })
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
