import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { Client, type ClientDuplexStream, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { describe, expect, it, onTestFinished } from 'vitest'
import { RuntimeCrashError } from '../../src/errors.js'
import {
  AttachRequest,
  type AttachResponse,
  ControlServiceClient,
  Hello,
} from '../../src/generated/freetumor/runtime/v1/control.js'
import { type ControlServer, openControlServer } from '../../src/transport/control-server.js'
import { PROTOCOL } from '../../src/transport/frames.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { type PythonProcess, startPython } from './python-process.js'
import { dialRaw, RAW } from './strangers.js'

const TOKEN = 'a token of sixteen bytes or more'

async function serverIn(directory = temporaryFolder()): Promise<ControlServer> {
  const server = await openControlServer({ directory, token: TOKEN })
  onTestFinished(() => server.close())
  return server
}

function jobOf(server: ControlServer, token = TOKEN, ...args: string[]): PythonProcess {
  process.env.FREETUMOR_TOKEN = token
  return startPython('test/transport/control_client.py', server.address, ...args)
}

/** The texts of all notes until the stream ends. */
async function notes(server: ControlServer): Promise<string[]> {
  const texts: string[] = []
  for await (const { message } of server.messages)
    if (message?.$case === 'event' && message.value.event?.$case === 'note')
      texts.push(message.value.event.value.text)
  return texts
}

const stop = { $case: 'stop', value: { reason: 'enough' } } as const
const pause = { $case: 'pause', value: {} } as const
const save = { $case: 'saveCheckpoint', value: {} } as const
const learningRate = { $case: 'setLearningRate', value: { learningRate: 1e-4 } } as const

describe('a Python job', () => {
  it('attaches through a folder whose name has characters of a URI', async () => {
    const directory = join(temporaryFolder(), 'a%41#b?c:é $$x')
    mkdirSync(directory, { mode: 0o700 })
    const server = await serverIn(directory)
    jobOf(server)
    expect(await server.attached).toMatchObject({ runId: 'run' })
    await server.sendCommand(stop)
  })

  it('identifies itself, reports, answers commands, and ends the stream when it is done', async () => {
    const server = await serverIn()
    const job = jobOf(server)
    expect(await server.attached).toMatchObject({
      protocol: PROTOCOL,
      runId: 'run',
      worldSize: 2,
      device: 'cpu',
    })
    const reported = notes(server)
    expect((await server.sendCommand(learningRate)).step).toBe(10n)
    await expect(server.sendCommand(pause)).rejects.toThrow(/command refused: nothing to pause/)
    expect((await server.sendCommand(stop)).step).toBe(10n)
    expect(await reported).toEqual(['begun', 'ended'])
    expect([await job.next(), await job.next(), await job.next(), await job.next()]).toEqual([
      'set_learning_rate',
      'pause',
      'stop',
      'closed',
    ])
    expect(await job.ended).toEqual({ code: 0, signal: null })
    await expect(server.sendCommand(stop)).rejects.toThrow(RuntimeCrashError)
  })

  it('receives an error for a wrong token, and the right one can still attach', async () => {
    const server = await serverIn()
    const stranger = jobOf(server, 'another token')
    expect(await stranger.next()).toEqual({
      kind: 'environment',
      message: `the control stream at ${server.address} was refused: wrong token`,
    })
    await stranger.ended
    jobOf(server)
    expect((await server.attached).runId).toBe('run')
  })

  it('that is killed ends the stream and rejects the pending commands', async () => {
    const server = await serverIn()
    const job = jobOf(server)
    const messages = server.messages[Symbol.asyncIterator]()
    expect(await messages.next()).toMatchObject({ done: false })
    const answer = expect(server.sendCommand(save)).rejects.toThrow(/the job has ended/)
    expect(await job.next()).toBe('save_checkpoint')
    job.child.kill('SIGKILL')
    await answer
    expect(await messages.next()).toMatchObject({ done: true })
  })

  it('notices that the server is gone', async () => {
    const server = await serverIn()
    const job = jobOf(server)
    const message = await server.messages[Symbol.asyncIterator]().next()
    expect(message.done).toBe(false)
    await server.close()
    const words = expect.stringMatching(/the control stream has ended: .+/)
    expect(await job.next()).toMatchObject({ kind: 'stopped', message: words })
    expect(await job.next()).toBe('closed')
  })

  it('receives the reason when it reported too much at once', async () => {
    const server = await serverIn()
    const job = jobOf(server, TOKEN, '--large', String(17 << 20))
    expect(await notes(server)).toEqual(['begun'])
    expect(await job.next()).toMatchObject({
      kind: 'stopped',
      message: expect.stringMatching(/larger than max/),
    })
  })
})

describe('the server', () => {
  interface Dialled {
    readonly stream: ClientDuplexStream<AttachRequest, AttachResponse>
    /** What came before the stream ended, and how it ended. */
    readonly outcome: Promise<{ responses: AttachResponse[]; error: ServiceError | null }>
  }

  function dial(server: ControlServer): Dialled {
    const client = new ControlServiceClient(server.address, credentials.createInsecure())
    onTestFinished(() => client.close())
    const stream = client.attach()
    const responses: AttachResponse[] = []
    stream.on('data', (response: AttachResponse) => responses.push(response))
    const outcome = new Promise<Awaited<Dialled['outcome']>>((resolve) => {
      stream.on('error', (error: ServiceError) => resolve({ responses, error }))
      stream.on('end', () => resolve({ responses, error: null }))
    })
    return { stream, outcome }
  }

  const helloOf = (change: Partial<Hello>): AttachRequest =>
    AttachRequest.fromPartial({
      message: { $case: 'hello', value: Hello.fromPartial({ protocol: PROTOCOL, token: TOKEN, ...change }) },
    })

  it.each<[string, AttachRequest, string]>([
    [
      'with a token of the same length that is wrong',
      helloOf({ token: TOKEN.replace('a', 'b') }),
      'wrong token',
    ],
    ['without a token', helloOf({ token: '' }), 'wrong token'],
    ['of another protocol', helloOf({ protocol: 2 }), 'wrong protocol (expected 1, found 2)'],
    [
      'that does not start with a hello',
      AttachRequest.fromPartial({ message: { $case: 'heartbeat', value: { step: 1n } } }),
      'wrong first message (expected a hello)',
    ],
    ['that sends an empty message', AttachRequest.fromPartial({}), 'wrong first message (expected a hello)'],
  ])('refuses a job %s', async (_what, first, details) => {
    const server = await serverIn()
    const { stream, outcome } = dial(server)
    stream.write(first)
    expect(await outcome).toMatchObject({ responses: [], error: { code: status.UNAUTHENTICATED, details } })
    await expect(server.sendCommand(stop)).rejects.toThrow(/not yet started/)
  })

  const noteOf = (text: string): AttachRequest =>
    AttachRequest.fromPartial({
      message: { $case: 'event', value: { event: { $case: 'note', value: { level: 'info', text } } } },
    })

  /** Attaches a job, has a stranger act before and after it, and returns what the job reported. */
  async function besides(act: (server: ControlServer) => Promise<void>): Promise<string[]> {
    const server = await serverIn()
    await act(server)
    const { stream } = dial(server)
    stream.write(helloOf({ runId: 'job' }))
    expect((await server.attached).runId).toBe('job')
    await act(server)
    stream.write(noteOf('still here'))
    stream.end()
    return await notes(server)
  }

  it.each(RAW)('serves its job while a stranger %s, and ends that connection', async (_what, bytes) => {
    const strangers: Socket[] = []
    let server!: ControlServer
    const reported = await besides(async (one) => {
      server = one
      strangers.push(await dialRaw(one.address, bytes))
    })
    expect(reported).toEqual(['still here'])
    const ends = strangers.map((one) => one.closed || new Promise((resolve) => one.once('close', resolve)))
    await server.close()
    await Promise.all(ends)
  })

  it.each<[string, (stream: ClientDuplexStream<Buffer, Buffer>) => void, number]>([
    ['bytes that are no message', (stream) => stream.write(Buffer.from('\u001b[31mCANARY')), status.INTERNAL],
    [
      'an oversized message',
      (stream) => stream.write(Buffer.alloc((16 << 20) + 1, 'CANARY')),
      status.RESOURCE_EXHAUSTED,
    ],
    [
      'a wrong token and goes on talking',
      (stream) => {
        stream.write(Buffer.from(AttachRequest.encode(helloOf({ token: 'CANARY' })).finish()))
        for (let at = 0; at < 100; at++)
          stream.write(Buffer.from(AttachRequest.encode(noteOf('CANARY')).finish()))
      },
      status.UNAUTHENTICATED,
    ],
  ])(
    'refuses a stranger that sends %s, quotes nothing of it and serves its job',
    async (_what, say, code) => {
      const reported = await besides(async (server) => {
        const client = new Client(server.address, credentials.createInsecure())
        onTestFinished(() => client.close())
        const raw = (bytes: Buffer): Buffer => bytes
        const { path } = ControlServiceClient.service.attach
        const stream = client.makeBidiStreamRequest<Buffer, Buffer>(path, raw, raw)
        const refused = new Promise<ServiceError>((resolve) => stream.on('error', resolve))
        stream.resume()
        say(stream)
        const error = await refused
        expect(error.code).toBe(code)
        expect(error.details).not.toContain('CANARY')
      })
      expect(reported).toEqual(['still here'])
    },
  )

  it('waits for its job while another process holds a silent stream open', async () => {
    const reported = await besides(async (server) => void dial(server))
    expect(reported).toEqual(['still here'])
  })

  it('accepts one job only', async () => {
    const server = await serverIn()
    dial(server).stream.write(helloOf({ runId: 'first' }))
    await server.attached
    const second = dial(server)
    second.stream.write(helloOf({ runId: 'second' }))
    expect(await second.outcome).toMatchObject({ error: { details: 'another job is attached' } })
    expect((await server.attached).runId).toBe('first')
  })

  it('creates a socket that only its owner may use, in place of a left-over one', async () => {
    const directory = temporaryFolder()
    const path = join(directory, 'control.sock')
    writeFileSync(path, 'left behind')
    const server = await serverIn(directory)
    expect(server.address).toBe(`unix:${path}`)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    dial(server).stream.write(helloOf({}))
    await server.attached
  })

  it('refuses a directory that others may enter', async () => {
    const directory = temporaryFolder()
    chmodSync(directory, 0o711)
    await expect(serverIn(directory)).rejects.toThrow(/expected mode 700, found 711/)
  })

  it('leaves nothing when it is closed: no socket, no pending command, no waiting reader', async () => {
    const directory = temporaryFolder()
    const server = await serverIn(directory)
    const job = dial(server)
    job.stream.write(helloOf({}))
    await server.attached
    const reported = notes(server)
    const answer = expect(server.sendCommand(save)).rejects.toThrow(/the control server was closed/)
    await server.close()
    await answer
    expect(await reported).toEqual([])
    await job.outcome
    expect(readdirSync(directory)).toEqual([])
  })

  it('that is closed before a job attaches rejects the waiting caller', async () => {
    const server = await serverIn()
    const waiting = expect(server.attached).rejects.toThrow(/the control server was closed/)
    await server[Symbol.asyncDispose]()
    await waiting
  })

  it('gives messages to a late reader, in order', async () => {
    const server = await serverIn()
    const { stream } = dial(server)
    stream.write(helloOf({}))
    for (const text of ['one', 'two', 'three']) stream.write(noteOf(text))
    stream.end()
    await server.attached
    expect(await notes(server)).toEqual(['one', 'two', 'three'])
  })
})
