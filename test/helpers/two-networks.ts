import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { onTestFinished } from 'vitest'

/** Two hosts that can talk to each other. */
export interface TwoNetworks {
  /** Where they meet: an address of host 0. */
  readonly rendezvous: string
  /** What is put before a command so that it runs on a host. */
  inside(host: number): string[]
  /** Null where they cannot be cut off from each other. */
  readonly cable: { cut(): void; join(): void } | null
}

/** Network namespaces with a cable between them where the machine allows that (root, iproute2), else loopback; gone when the test ends. */
export async function twoNetworks(): Promise<TwoNetworks> {
  const names = [0, 1].map((host) => `fttest${process.pid}n${host}`)
  onTestFinished(() => {
    for (const name of names) spawnSync('ip', ['netns', 'del', name])
  })
  const built =
    names.every((name) => ip('netns', 'add', name)) &&
    ip('link', 'add', 'cable0', 'netns', names[0]!, 'type', 'veth', 'peer', 'cable1', 'netns', names[1]!) &&
    names.every(
      (name, host) =>
        ip('-n', name, 'link', 'set', 'lo', 'up') &&
        ip('-n', name, 'addr', 'add', `10.213.8.${host + 1}/24`, 'dev', `cable${host}`) &&
        ip('-n', name, 'link', 'set', `cable${host}`, 'up'),
    )
  if (!built) return await loopbackHosts()
  const set = (state: 'up' | 'down') => (): void => {
    ip('-n', names[1]!, 'link', 'set', 'cable1', state)
  }
  return {
    // nobody else is in there
    rendezvous: '10.213.8.1:29500',
    inside: (host) => ['ip', 'netns', 'exec', names[host]!],
    cable: { cut: set('down'), join: set('up') },
  }
}

/** Two hosts on one network: they cannot be cut off. */
export async function loopbackHosts(): Promise<TwoNetworks> {
  return { rendezvous: `127.0.0.1:${await freePort()}`, inside: () => [], cable: null }
}

function ip(...argv: string[]): boolean {
  return spawnSync('ip', argv).status === 0
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
