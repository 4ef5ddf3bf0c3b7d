import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import type { HostPlace } from '../pipeline/ports.js'
import type { Meeting } from './process.js'

/** Where a job has no limit of its own, hosts wait so long for each other. */
const LONG_SECONDS = 86_400

/** How this host meets the others; undefined for a host alone. The wait ends before a hang is declared. */
export function meetingOf(place: HostPlace | undefined, hangSeconds: number | null): Meeting | undefined {
  if (place === undefined || place.nodes === 1) return undefined
  return { ...place, waitSeconds: Math.max(1, (hangSeconds ?? LONG_SECONDS) * 0.9) }
}

/**
 * Variables that bind gloo and NCCL to the interface that leads to the rendezvous: by themselves they take what the host's
 * name resolves to, which often is loopback. What the user has set stays.
 */
export async function networkTowards(rendezvous: string | null): Promise<Record<string, string>> {
  const name = rendezvous === null ? null : await interfaceTowards(rendezvous)
  if (name === null) return {}
  const wanted = { GLOO_SOCKET_IFNAME: name, NCCL_SOCKET_IFNAME: name }
  return Object.fromEntries(Object.entries(wanted).filter(([key]) => process.env[key] === undefined))
}

async function interfaceTowards(rendezvous: string): Promise<string | null> {
  const at = rendezvous.lastIndexOf(':')
  const socket = createSocket('udp4')
  try {
    // nothing is sent: the kernel only chooses the way
    socket.connect(Number(rendezvous.slice(at + 1)), rendezvous.slice(0, at))
    await once(socket, 'connect')
    const { address } = socket.address()
    const all = Object.entries(networkInterfaces())
    return all.find(([, own]) => own?.some((one) => one.address === address))?.[0] ?? null
  } catch {
    // no way there yet: the host may come up later, and gloo chooses for itself
    return null
  } finally {
    socket.close()
  }
}
