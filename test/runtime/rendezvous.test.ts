import { networkInterfaces } from 'node:os'
import { expect, it, onTestFinished, vi } from 'vitest'
import { torchrunArgv } from '../../src/runtime/process.js'
import { networkOf, rendezvousOf } from '../../src/runtime/rendezvous.js'

const place = { nodes: 2, nodeRank: 1, rendezvous: 'node-0:29500' }

/** What loopback is called here. */
function loopback(): string {
  const found = Object.entries(networkInterfaces()).find(([, own]) =>
    own?.some(({ address }) => address === '127.0.0.1'),
  )
  return found![0]
}

it('a single node has no rendezvous, and several wait for each other until shortly before a hang would be declared', () => {
  expect(rendezvousOf(undefined, 10)).toBeUndefined()
  expect(rendezvousOf({ ...place, nodes: 1 }, 10)).toBeUndefined()
  expect(rendezvousOf(place, 100)).toEqual({ ...place, waitSeconds: 90 })
  expect(rendezvousOf(place, null)?.waitSeconds).toBeGreaterThan(3600)
})

it('torchrun gets the node rank and the rendezvous of several nodes', () => {
  const argv = torchrunArgv({
    python: 'python',
    ranks: 4,
    logDirectory: '/logs',
    program: ['train.py', '-x'],
    rendezvous: rendezvousOf(place, 100),
    tcpStore: true,
  })
  expect(argv[1]).toMatch(/launcher.join\.py$/)
  expect(argv.slice(2, 7)).toEqual(['2', '1', 'node-0:29500', '90', '--'])
  expect(argv).toEqual(
    expect.arrayContaining(['--nnodes=2', '--node-rank=1', '--rdzv-backend=static', '--max-restarts=0']),
  )
  expect(argv.slice(-2)).toEqual(['train.py', '-x'])
  expect(argv).not.toContain('--standalone')
})

it('ranks are bound to loopback on one node, else to the interface of the rendezvous, unless the user has chosen one', async () => {
  vi.stubEnv('GLOO_SOCKET_IFNAME', undefined)
  vi.stubEnv('NCCL_SOCKET_IFNAME', 'mine')
  onTestFinished(() => void vi.unstubAllEnvs())
  expect(await networkOf(null)).toEqual({ GLOO_SOCKET_IFNAME: loopback() })
  expect(await networkOf('127.0.0.1:29500')).toEqual({ GLOO_SOCKET_IFNAME: loopback() })
})
