import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { expect, it, onTestFinished } from 'vitest'
import { RunServiceClient } from '../../src/generated/freetumor/runtime/v1/runs.js'
import { openRunClient } from '../../src/transport/run-client.js'
import { openRunServer, type RunServer } from '../../src/transport/run-server.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { dialRaw, RAW } from './strangers.js'

const TOKEN = 'a token of sixteen bytes or more'

/** A run that acts on every command and has one event; `commands` is what reached it. */
async function served(): Promise<{ server: RunServer; commands: unknown[] }> {
  const commands: unknown[] = []
  const host = {
    status: () => ({ phase: 'training' }),
    act: async (command: unknown) => commands.push(command),
    events: async function* () {
      yield { type: 'started' }
    },
  }
  const server = await openRunServer({ directory: temporaryFolder(), token: TOKEN, run: host })
  onTestFinished(() => server.close())
  return { server, commands }
}

/** Uses every method with the right token. */
async function expectServed({ address }: RunServer): Promise<void> {
  const client = openRunClient(address, TOKEN)
  onTestFinished(() => client.close())
  expect(await client.status()).toEqual({ phase: 'training' })
  expect(await client.act({ type: 'pause' })).toMatchObject({ $case: 'step' })
  for await (const event of client.watch()) expect(event).toEqual({ type: 'started' })
  client.close()
}

it.each(RAW)('serves the run while a stranger %s, and ends that connection', async (_what, bytes) => {
  const { server } = await served()
  const stranger = await dialRaw(server.address, bytes)
  await expectServed(server)
  const ended = stranger.closed ? null : once(stranger, 'close')
  await server.close()
  await ended
  expect(existsSync(server.address.replace('unix:', ''))).toBe(false)
})

const { service } = RunServiceClient
const withToken = (token: string | null): Metadata => {
  const metadata = new Metadata()
  if (token !== null) metadata.set('authorization', `Bearer ${token}`)
  return metadata
}

it.each<[string, string | null, Buffer, number]>([
  ['no token', null, Buffer.alloc(0), status.UNAUTHENTICATED],
  ['a wrong token', 'CANARY', Buffer.alloc(0), status.UNAUTHENTICATED],
  ['a wrong token of the same length', TOKEN.replace('a', 'b'), Buffer.alloc(0), status.UNAUTHENTICATED],
  ['bytes that are no message', null, Buffer.from('\u001b[31mCANARY'), status.INTERNAL],
  ['an oversized message', null, Buffer.alloc((4 << 20) + 1, 'CANARY'), status.RESOURCE_EXHAUSTED],
])(
  'refuses every call with %s, quotes nothing of it and serves the run',
  async (_what, token, bytes, code) => {
    const { server, commands } = await served()
    const client = new Client(server.address, credentials.createInsecure())
    onTestFinished(() => client.close())
    const raw = (value: Buffer): Buffer => value
    const unary = (path: string): Promise<ServiceError | null> =>
      new Promise((resolve) => client.makeUnaryRequest(path, raw, raw, bytes, withToken(token), resolve))
    const watch = client.makeServerStreamRequest(service.watch.path, raw, raw, bytes, withToken(token))
    const watchRefused = new Promise<ServiceError>((resolve) => watch.on('error', resolve))
    watch.resume()
    const errors = [await unary(service.getStatus.path), await unary(service.act.path), await watchRefused]
    for (const error of errors) {
      expect(error?.code).toBe(code)
      expect(error?.details).not.toContain('CANARY')
    }
    expect(commands).toEqual([])
    await expectServed(server)
  },
)
