import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { ConfigError, UsageError } from '../errors.js'
import type { TrainOptions } from '../training/run.js'
import { makeFolder } from '../whole-file.js'
import type { HostPlace } from './ports/common.js'

/**
 * This host's place among those that train together; null when it trains alone.
 * @throws UsageError where the place is not told fully, ConfigError where weights would be made on every host
 */
export function placeOf(config: RunConfig, options: TrainOptions): HostPlace | null {
  const { nodes } = config.runtime
  const { nodeRank = 0, rendezvous = null } = options
  checkHosts(nodes, nodeRank, rendezvous)
  if (nodes === 1 || rendezvous === null) return null
  for (const network of ['baseline', 'generator'] as const) {
    const source = config.networks[network]
    if (source !== null && source.checkpoint === null && source.trainFrom !== null)
      throw new ConfigError(`networks.${network}.trainFrom: several hosts would each train their own`, {
        hint: `train it first, copy its model.pt to every host, and name it in networks.${network}.checkpoint`,
      })
  }
  return { nodes, nodeRank, rendezvous }
}

/** The name of a file of a run on this host: node 0's has the plain name, the others' say whose it is. */
export function nodeFile(name: string, place: HostPlace | null): string {
  if (place === null || place.nodeRank === 0) return name
  const dot = name.indexOf('.')
  return `${name.slice(0, dot)}.node-${place.nodeRank}${name.slice(dot)}`
}

/** Whether this host keeps the run: its checkpoints and its report. */
export function keepsRun(place: HostPlace | null): boolean {
  return place === null || place.nodeRank === 0
}

/**
 * Makes a run's directory on another host than node 0; it may be node 0's own, on a disk that they share.
 * @throws UsageError when this host has begun a run in it before
 */
export async function joinRunDirectory(directory: string, place: HostPlace, resume: boolean): Promise<void> {
  const events = join(directory, nodeFile('events.jsonl', place))
  const begun = await access(events).then(
    () => true,
    () => false,
  )
  if (begun && !resume)
    throw new UsageError(`${directory} already holds a run of node ${place.nodeRank}`, {
      hint: `go on with --resume ${directory} on every host, or choose another --out`,
    })
  await makeFolder(join(directory, 'logs'))
}

/**
 * Whether this host's place among the hosts of a job is told fully.
 * @throws UsageError that names what is missing or wrong
 */
export function checkHosts(nodes: number, nodeRank: number, rendezvous: string | null): void {
  if (!Number.isInteger(nodeRank) || nodeRank < 0 || nodeRank >= nodes)
    throw new UsageError(`node rank ${nodeRank} is not one of ${nodes} nodes`, {
      hint: 'give --nodes N and on each host another --node-rank from 0 to N - 1',
    })
  if (nodes > 1 && rendezvous === null)
    throw new UsageError(`${nodes} nodes need a place to meet`, {
      hint: 'give --rendezvous HOST:PORT on every host: an address of node 0 and a port that is free there',
    })
  const port = Number(/^[^\s:]+:(\d+)$/.exec(rendezvous ?? 'host:1')?.[1] ?? 0)
  if (port < 1 || port > 65535)
    throw new UsageError(`rendezvous: HOST:PORT was expected, got ${rendezvous}`, {
      hint: 'for instance 10.0.0.1:29500',
    })
}
