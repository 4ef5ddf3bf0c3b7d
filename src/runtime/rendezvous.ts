import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { EnvironmentError } from '../errors.js'
import type { NodePlace } from '../pipeline/ports/common.js'
import type { Rendezvous } from './process.js'

/** Limit of the wait for other nodes in a job without a hang limit, in seconds. */
const LONG_SECONDS = 86_400
const LOOPBACK = '127.0.0.1'

/** Return the rendezvous of a node; undefined for a single node. The wait ends before a hang is declared. */
export function rendezvousOf(
  place: NodePlace | undefined,
  hangSeconds: number | null,
): Rendezvous | undefined {
  if (place === undefined || place.nodes === 1) return undefined
  return { ...place, waitSeconds: Math.max(1, (hangSeconds ?? LONG_SECONDS) * 0.9) }
}

/**
 * Return the variables that bind gloo and NCCL to one interface: loopback on a single node, else the one that leads to the
 * rendezvous. By default, gloo and NCCL use the address that the node's name resolves to. The user's values stay.
 * @throws EnvironmentError if the ranks of a single node have no loopback interface
 */
export async function networkOf(rendezvous: string | null): Promise<Record<string, string>> {
  const name = rendezvous === null ? loopbackInterface() : await interfaceTowards(rendezvous)
  if (name === null) return {}
  const wanted = { GLOO_SOCKET_IFNAME: name, NCCL_SOCKET_IFNAME: name }
  return Object.fromEntries(Object.entries(wanted).filter(([key]) => process.env[key] === undefined))
}

function loopbackInterface(): string {
  const all = Object.entries(networkInterfaces())
  const found = all.find(([, own]) => own?.some(({ address }) => address === LOOPBACK))
  if (found) return found[0]
  throw new EnvironmentError(`loopback is down (expected an interface with ${LOOPBACK}, found none)`, {
    hint: 'run `ip link set lo up`, or use one process: runtime.processesPerNode: 1',
  })
}

async function interfaceTowards(rendezvous: string): Promise<string | null> {
  const at = rendezvous.lastIndexOf(':')
  const socket = createSocket('udp4')
  try {
    // nothing is sent: the kernel only chooses the route
    socket.connect(Number(rendezvous.slice(at + 1)), rendezvous.slice(0, at))
    await once(socket, 'connect')
    const { address } = socket.address()
    const all = Object.entries(networkInterfaces())
    return all.find(([, own]) => own?.some((one) => one.address === address))?.[0] ?? null
  } catch {
    // no route yet: node 0 may start later, and gloo chooses the interface itself
    return null
  } finally {
    socket.close()
  }
}
