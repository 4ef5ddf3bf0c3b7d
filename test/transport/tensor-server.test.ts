import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Dealer } from 'zeromq'
import { EnvironmentError } from '../../src/errors.js'
import {
  StepCrops,
  StepMeasures,
  StepRequest,
  StepVerdicts,
} from '../../src/generated/freetumor/runtime/v1/feed.js'
import { Envelope } from '../../src/generated/freetumor/transport/v1/tensor.js'
import {
  decodeMessage,
  encodeMessage,
  MAX_FRAME_BYTES,
  type Message,
  type Tensor,
} from '../../src/transport/frames.js'
import {
  openTensorServer,
  type TensorServer,
  type TensorServerOptions,
} from '../../src/transport/tensor-server.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { until } from '../helpers/until.js'
import { counted, messageOf, told } from './messages.js'
import { startPython } from './python-process.js'

const PACKAGE = 'freetumor.runtime.v1.'
const TOKEN = 'secret'

/** A server in a folder of its own that must not fail unless a test says so. */
async function serverOf(options: Partial<TensorServerOptions>): Promise<TensorServer> {
  const server = await openTensorServer({
    directory: temporaryFolder(),
    token: TOKEN,
    onMessage: async (_rank, message) => message,
    onFailure: (error) => expect.unreachable(String(error)),
    ...options,
  })
  onTestFinished(() => server.close())
  return server
}

/** A rank that says whatever a test wants. */
function peerOf(server: TensorServer, name: string, options: { readonly reads?: number } = {}): Dealer {
  const { reads = 16 } = options
  const peer = new Dealer({
    linger: 0,
    routingId: `${name}.${TOKEN}`,
    sendHighWaterMark: 100,
    receiveHighWaterMark: reads,
  })
  peer.connect(server.address)
  onTestFinished(() => peer.close())
  return peer
}

const ask = (word: string): Message => ({ kind: 'test.v1.Ask', body: Buffer.from(word), tensors: new Map() })

async function wordFrom(peer: Dealer): Promise<string> {
  return Buffer.from(decodeMessage(await peer.receive()).message.body).toString()
}

/** A small generator of the numbers of a test. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state % below
  }
}

/** Waits for no time but for others: as many turns of the event loop as the dice say. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await setImmediate()
}

describe('a Python rank', () => {
  /** Tensors of a step and rank; now and then one of several frames. */
  function tensorsOf(step: number, rank: number): Record<string, Tensor> {
    const image = Int16Array.from({ length: 24 * 24 * 24 }, (_, at) => at * 31 + step * 7 + rank)
    const long = step % 10 === 0 ? { long: counted('uint8', [MAX_FRAME_BYTES + 3 + step]) } : {}
    return {
      image: { elementType: 'int16', shape: [24, 24, 24], data: image },
      label: counted('uint8', [24, 24, step + 1]),
      empty: counted('float32', [0, 3]),
      ...long,
    }
  }

  function digests(tensors: Readonly<Record<string, Tensor>>): Record<string, string> {
    const entries = Object.entries(tensors).map(([name, { elementType, shape, data }]) => {
      const content = createHash('sha256').update(data).digest('hex')
      return [name, `torch.${elementType} [${shape.join(', ')}] ${content}`]
    })
    return Object.fromEntries(entries)
  }

  const framesOf = (step: number, rank: number): Message => {
    const crops = [StepCrops.fromPartial({ crops: [{ item: BigInt(step * 10 + rank) }] }).crops[0]!]
    const body = StepCrops.encode({ step: BigInt(step), crops }).finish()
    return { kind: `${PACKAGE}StepCrops`, body, tensors: new Map(Object.entries(tensorsOf(step, rank))) }
  }

  const verdictsOf = (message: Message): Message => {
    const { step, crops } = StepMeasures.decode(message.body)
    const verdicts = crops.map(({ item }) => ({
      item,
      crop: 0,
      accepted: step % 2n === 0n,
      reason: `of ${step}`,
    }))
    return {
      kind: `${PACKAGE}StepVerdicts`,
      body: StepVerdicts.encode({ step, verdicts }).finish(),
      tensors: new Map(),
    }
  }

  it('pulls 50 steps whose answers come late and in any order, next to another rank', async () => {
    const dice = numbers(1)
    const acknowledged: number[] = []
    const server = await serverOf({
      async onMessage(rank, message) {
        if (message.kind === `${PACKAGE}StepAck`) acknowledged.push(rank)
        await turns(dice(200))
        if (message.kind === `${PACKAGE}StepMeasures`) return verdictsOf(message)
        if (message.kind === `${PACKAGE}StepRequest`)
          return framesOf(Number(StepRequest.decode(message.body).step), rank)
        return undefined
      },
    })
    const pull = async (rank: number): Promise<void> => {
      const client = startPython('test/transport/feed_client.py', server.address, String(rank), '50', TOKEN)
      expect(await client.next()).toBe('connected')
      for (let step = 0; step < 50; step++) {
        expect(await client.next()).toEqual(digests(tensorsOf(step, rank)))
        expect(await client.next()).toEqual([[step * 10 + rank, step % 2 === 0, `of ${step}`]])
      }
      expect(await client.ended).toEqual({ code: 0, signal: null })
    }
    await Promise.all([pull(0), pull(3)])
    while (acknowledged.length < 100) await setImmediate()
  })

  it('that waits notices at once that the server is gone', async () => {
    let asked = () => {}
    const request = new Promise<void>((resolve) => {
      asked = resolve
    })
    const server = await serverOf({
      onMessage: () => {
        asked()
        return new Promise(() => {})
      },
    })
    const client = startPython('test/transport/feed_client.py', server.address, '0', '1', TOKEN)
    await client.next()
    await request
    await server.close()
    expect(await client.next()).toEqual({
      kind: 'stopped',
      message: 'the process that feeds this rank is gone',
    })
  })

  it('that is killed does not delay the others', async () => {
    const waiting: (() => void)[] = []
    const server = await serverOf({
      onMessage: (rank, message) =>
        rank === 1
          ? Promise.resolve(message)
          : new Promise((resolve) => waiting.push(() => resolve(message))),
    })
    const client = startPython('test/transport/feed_client.py', server.address, '0', '1', TOKEN)
    await client.next()
    while (waiting.length === 0) await setImmediate()
    client.child.kill('SIGKILL')
    await client.ended
    for (const answer of waiting) answer()
    const other = peerOf(server, 'rank-1')
    await other.send(encodeMessage(ask('still there?'), 0))
    expect(await wordFrom(other)).toBe('still there?')
  })
})

describe('the server', () => {
  it('answers each peer, with tensors, in the order in which answers are ready', async () => {
    const late: (() => void)[] = []
    const server = await serverOf({
      onMessage: async (rank, message) => {
        const word = Buffer.from(message.body).toString()
        if (word === 'first') await new Promise<void>((resolve) => late.push(resolve))
        else
          late.forEach((go) => {
            go()
          })
        return { kind: `to ${rank}`, body: message.body, tensors: message.tensors }
      },
    })
    const peer = peerOf(server, 'rank-7')
    const first = messageOf({ scan: counted('float32', [2, 3]) })
    await peer.send(encodeMessage({ ...first, body: Buffer.from('first') }, 0))
    await peer.send(encodeMessage(ask('second'), 1))
    const answers = [decodeMessage(await peer.receive()), decodeMessage(await peer.receive())]
    expect(answers.map(({ message, sequence }) => [message.kind, String(message.body), sequence])).toEqual([
      ['to 7', 'second', 0],
      ['to 7', 'first', 1],
    ])
    expect(told({ ...answers[1]!.message, kind: 'x', body: Buffer.from('x') })).toEqual(
      told({ ...first, kind: 'x', body: Buffer.from('x') }),
    )
  })

  it('loses no answer to a peer that pauses reading', async () => {
    const server = await serverOf({ onMessage: async () => messageOf({ scan: counted('uint8', [200_000]) }) })
    const peer = peerOf(server, 'rank-0', { reads: 2 })
    for (let n = 0; n < 60; n++) await peer.send(encodeMessage(ask(''), n))
    await turns(1000)
    for (let n = 0; n < 60; n++) expect(decodeMessage(await peer.receive()).sequence).toBe(n)
  })

  it('replaces the socket of a killed process, and removes its own', async () => {
    const directory = temporaryFolder()
    writeFileSync(join(directory, 'feed.sock'), 'left behind')
    const server = await serverOf({ directory })
    const peer = peerOf(server, 'rank-0')
    await peer.send(encodeMessage(ask('hello'), 0))
    expect(await wordFrom(peer)).toBe('hello')
    await server.close()
    expect(readdirSync(directory)).toEqual([])
  })

  it('closes while an answer is computed, and drops the answer', async () => {
    const directory = temporaryFolder()
    let finish = (_: Message) => {}
    const server = await serverOf({
      directory,
      onMessage: () =>
        new Promise((resolve) => {
          finish = resolve
        }),
    })
    const before = finish
    const peer = peerOf(server, 'rank-0')
    await peer.send(encodeMessage(ask('hello'), 0))
    while (finish === before) await setImmediate()
    await server.close()
    finish(ask('too late'))
    await turns(10)
    expect(existsSync(join(directory, 'feed.sock'))).toBe(false)
  })

  it('closes while an answer cannot be sent', async () => {
    let answers = 0
    const server = await serverOf({
      onMessage: async () => {
        answers++
        return messageOf({ scan: counted('uint8', [200_000]) })
      },
    })
    const peer = peerOf(server, 'rank-0', { reads: 1 })
    for (let n = 0; n < 60; n++) await peer.send(encodeMessage(ask(''), n))
    while (answers < 60) await setImmediate()
    await server.close()
  })

  it('closes by `await using`, and a second time without an error', async () => {
    const directory = temporaryFolder()
    {
      await using server = await serverOf({ directory })
      await server.close()
    }
    expect(readdirSync(directory)).toEqual([])
  })

  it('refuses a directory that others may enter', async () => {
    const directory = temporaryFolder()
    chmodSync(directory, 0o755)
    await expect(serverOf({ directory })).rejects.toThrow(/expected mode 700, found 755/)
  })

  it('refuses a path that is too long for a socket', async () => {
    const directory = join(temporaryFolder(), 'x'.repeat(100))
    mkdirSync(directory, { mode: 0o700 })
    const opening = serverOf({ directory })
    await expect(opening).rejects.toThrow(EnvironmentError)
    await expect(opening).rejects.toThrow(/expected at most 107 bytes/)
  })

  it('opens at a path of exactly the length that a socket may have', async () => {
    const parent = mkdtempSync('/tmp/ft-')
    onTestFinished(() => rmSync(parent, { recursive: true }))
    const directory = join(parent, 'x'.repeat(107 - '/feed.sock'.length - parent.length - 1))
    mkdirSync(directory, { mode: 0o700 })
    const server = await serverOf({ directory })
    expect(server.address.length).toBe('ipc://'.length + 107)
    expect(existsSync(server.address.slice('ipc://'.length))).toBe(true)
  })
})

describe('a process that is no rank of the job', () => {
  it.each<[string, (peer: Dealer) => Promise<void>]>([
    ['garbage', (peer) => peer.send(['\u001b[31mnonsense', Buffer.alloc(1000, 0xff)])],
    ['a message as a rank sends it', (peer) => peer.send(encodeMessage(ask('mine?'), 0))],
    [
      'a message of another protocol',
      (peer) => peer.send([Envelope.encode(Envelope.fromPartial({ protocol: 99 })).finish()]),
    ],
    ['an empty message', (peer) => peer.send([''])],
    ['a frame above the limit', (peer) => peer.send([Buffer.alloc(MAX_FRAME_BYTES + 1)])],
    ['nothing', async () => {}],
  ])('that sends %s is not answered, and the ranks continue', async (what, say) => {
    const server = await serverOf({})
    const names = ['stranger', 'rank-0', 'rank-0.', `rank-0.${TOKEN}x`, `rank-x.${TOKEN}`, `rank--1.${TOKEN}`]
    for (const name of names) {
      const stranger = new Dealer({ linger: 0, routingId: name })
      stranger.connect(server.address)
      onTestFinished(() => stranger.close())
      await say(stranger)
    }
    const rank = peerOf(server, 'rank-0')
    for (const sequence of [0, 1, 2]) {
      await rank.send(encodeMessage(ask('well?'), sequence))
      expect(await wordFrom(rank)).toBe('well?')
    }
    const heard = !['a frame above the limit', 'nothing'].includes(what)
    await until(() => server.strays === (heard ? names.length : 0))
  })
})

describe('the server fails, once,', () => {
  /** The failure that these words of peers lead to. */
  async function failureOf(
    say: (server: TensorServer) => Promise<void>,
    options: Partial<TensorServerOptions> = {},
  ) {
    const failures: unknown[] = []
    let failed = () => {}
    const first = new Promise<void>((resolve) => {
      failed = resolve
    })
    const server = await serverOf({
      ...options,
      onFailure: (error) => {
        failures.push(error)
        failed()
      },
    })
    await say(server)
    await first
    await turns(20)
    expect(failures).toHaveLength(1)
    return failures[0]
  }

  it('when a message is malformed', async () => {
    const failure = failureOf(async (server) => {
      const peer = peerOf(server, 'rank-0')
      await peer.send(['nonsense'])
      await peer.send(['nonsense'])
    })
    expect(String(await failure)).toMatch(/malformed message/)
  })

  it('when a message is missing', async () => {
    const failure = failureOf(async (server) => {
      const peer = peerOf(server, 'rank-2')
      await peer.send(encodeMessage(ask(''), 0))
      await peer.send(encodeMessage(ask(''), 2))
    })
    expect(String(await failure)).toMatch(/rank 2: wrong message number .expected 1, found 2/)
  })

  it('when two processes claim the same rank', async () => {
    const failure = failureOf(async (server) => {
      const one = peerOf(server, 'rank-0')
      await one.send(encodeMessage(ask(''), 0))
      await one.receive()
      await peerOf(server, 'rank-0').send(encodeMessage(ask(''), 0))
    })
    expect(String(await failure)).toMatch(/rank 0: wrong message number .expected 1, found 0/)
  })

  it('when a rank sends requests without end', async () => {
    const failure = failureOf(
      async (server) => {
        const peer = peerOf(server, 'rank-0')
        for (let n = 0; n < 65; n++) await peer.send(encodeMessage(ask(''), n))
      },
      { onMessage: () => new Promise(() => {}) },
    )
    expect(String(await failure)).toMatch(/rank 0: too many unanswered messages .expected at most 64/)
  })

  it('when a message has no answer', async () => {
    const failure = failureOf((server) => peerOf(server, 'rank-0').send(encodeMessage(ask(''), 0)), {
      onMessage: () => Promise.reject(new Error('the case is gone')),
    })
    expect(String(await failure)).toMatch(/the case is gone/)
  })

  it('when an answer cannot be sent, and still answers others', async () => {
    const bad = messageOf({ scan: { elementType: 'int16', shape: [3], data: new Int16Array(2) } })
    const failure = failureOf(
      async (server) => {
        await peerOf(server, 'rank-0').send(encodeMessage(ask(''), 0))
        const other = peerOf(server, 'rank-1')
        await other.send(encodeMessage(ask('well?'), 0))
        expect(await wordFrom(other)).toBe('well?')
      },
      { onMessage: async (rank, message) => (rank === 0 ? bad : message) },
    )
    expect(String(await failure)).toMatch(/tensor scan: wrong length .expected shape 3, found 2 elements/)
  })

  it('refuses a part above the limit', async () => {
    const server = await serverOf({ onMessage: async () => expect.unreachable('it came') })
    const peer = peerOf(server, 'rank-0')
    const gone = new Promise((resolve) => peer.events.on('disconnect', resolve))
    await peer.send([Buffer.alloc(MAX_FRAME_BYTES + 1)])
    await gone
  })
})
