import { access } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunConfig } from '../config/schema.js'
import { ConfigError, UsageError } from '../errors.js'
import { quoted } from '../plain-text.js'
import type { TrainOptions } from '../training/run.js'
import { holdsRun } from '../training/run-directory.js'
import { makeFolder } from '../whole-file.js'
import type { NodePlace } from './ports/common.js'

/**
 * Return the place of this node among those that train together; null for a single node.
 * @throws UsageError if the place is incomplete, ConfigError if every node would train the same weights
 */
export function placeOf(
  config: Pick<RunConfig, 'networks' | 'runtime'>,
  options: TrainOptions,
): NodePlace | null {
  const { nodes } = config.runtime
  const { nodeRank = 0, rendezvous = null } = options
  checkNode(nodes, nodeRank, rendezvous)
  if (nodes === 1 || rendezvous === null) return null
  refuseTrainingOnEachNode(config)
  return { nodes, nodeRank, rendezvous }
}

/** Refuse weights that every node would train for itself. @throws ConfigError */
export function refuseTrainingOnEachNode({ networks }: Pick<RunConfig, 'networks'>): void {
  for (const network of ['baseline', 'generator'] as const) {
    const source = networks[network]
    if (source !== null && source.checkpoint === null && source.trainFrom !== null)
      throw new ConfigError(`networks.${network}.trainFrom: several nodes would each train their own`, {
        hint: `train it first, copy its model.pt to every node, and name it in networks.${network}.checkpoint`,
      })
  }
}

/** Return the name of a run's file on this node: plain on node 0, with the node's rank on the others. */
export function nodeFile(name: string, place: NodePlace | null): string {
  if (place === null || place.nodeRank === 0) return name
  const dot = name.indexOf('.')
  return `${name.slice(0, dot)}.node-${place.nodeRank}${name.slice(dot)}`
}

/** Return whether this node keeps the run: its checkpoints and its report. */
export function keepsRun(place: NodePlace | null): boolean {
  return place === null || place.nodeRank === 0
}

/** Return whether this node has begun a run in the directory. */
export async function hasBegun(directory: string, place: NodePlace | null): Promise<boolean> {
  if (keepsRun(place)) return await holdsRun(directory)
  return access(join(directory, nodeFile('events.jsonl', place))).then(
    () => true,
    () => false,
  )
}

/**
 * Make a run's directory on a node other than node 0; it may be node 0's own, on a shared disk.
 * @throws UsageError if this node has begun a run in it before
 */
export async function joinRunDirectory(directory: string, place: NodePlace, resume: boolean): Promise<void> {
  if (!resume && (await hasBegun(directory, place)))
    throw new UsageError(`${directory} already holds a run of node ${place.nodeRank}`, {
      hint: `run \`freetumor train --resume ${quoted(directory)}\` on every node, or choose another --out`,
    })
  await makeFolder(join(directory, 'logs'))
}

/**
 * Check the place of this node among the nodes of a job.
 * @throws UsageError that names what is missing or wrong
 */
export function checkNode(nodes: number, nodeRank: number, rendezvous: string | null): void {
  if (!Number.isInteger(nodeRank) || nodeRank < 0 || nodeRank >= nodes)
    throw new UsageError(`node rank ${nodeRank} is not one of ${nodes} nodes`, {
      hint: 'give --nodes N and on each node another --node-rank from 0 to N - 1',
    })
  if (nodes > 1 && rendezvous === null)
    throw new UsageError(`${nodes} nodes need a rendezvous`, {
      hint: 'give --rendezvous HOST:PORT on every node: an address of node 0 and a free port there',
    })
  const port = Number(/^[^\s:]+:(\d+)$/.exec(rendezvous ?? 'host:1')?.[1] ?? 0)
  if (port < 1 || port > 65535)
    throw new UsageError(`rendezvous: malformed address (expected HOST:PORT, found ${rendezvous})`, {
      hint: 'write it as in 10.0.0.1:29500',
    })
}
