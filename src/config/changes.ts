import { createHash } from 'node:crypto'
import { absolutePaths } from './paths.js'
import type { RunConfig } from './schema.js'

/** A key whose value has changed. */
export interface Change {
  readonly key: string
  readonly before: unknown
  readonly after: unknown
}

/** Differences between two configurations of a run, by their effect on a resumed run. */
export interface ConfigChanges {
  /** Another training: networks, losses, the items and their order. */
  readonly deciding: readonly Change[]
  /** The same training up to rounding: the order of summation differs. */
  readonly rounding: readonly Change[]
  /** Length, checkpoints, reports, paths and workers: may change at any time. */
  readonly free: readonly Change[]
}

/**
 * Keys, with the keys below them, that a resumed run may change. `data` and the weights that a run builds on are compared by
 * content instead: files may move.
 */
const FREE = [
  'name',
  'data',
  'prepare.cache',
  'prepare.workers',
  'sampling.workers',
  'networks.segmentor.initialWeights',
  'networks.segmentor.initialWeightsSet',
  'networks.baseline.checkpoint',
  'networks.baseline.weights',
  'networks.baseline.trainFrom',
  'networks.baseline.plugin',
  'networks.generator.checkpoint',
  'networks.generator.weights',
  'networks.generator.trainFrom',
  'networks.generator.plugin',
  'training.steps',
  'training.epochs',
  'training.earlyStop',
  'training.validateEverySteps',
  'training.validateEveryEpochs',
  'training.checkpointEverySteps',
  'training.keepCheckpoints',
  // compared by content
  'quality.reviews',
  'quality.calibration',
  'evaluation.windowBatch',
  'evaluation.profile',
  'runtime.python',
  'runtime.restarts',
  'runtime.hangSeconds',
  'cluster',
  // of offline synthesis
  'synthesize',
  'report',
  'tracking',
]

/** Keys that change only the last bits of a run. */
const ROUNDING = [
  'runtime.nodes',
  'runtime.processesPerNode',
  'runtime.threadsPerProcess',
  'runtime.device',
  'runtime.compile',
  'runtime.memoryFormat',
  'networks.segmentor.activationCheckpointing',
  'networks.generator.activationCheckpointing',
]

/** Return whether a key sets the number of ranks, which changes nothing in the reproducible mode. */
export function isOfRanks(key: string): boolean {
  return key === 'runtime.nodes' || key === 'runtime.processesPerNode'
}

/** Return every key that differs, by its effect. */
export function configChanges(before: RunConfig, after: RunConfig): ConfigChanges {
  const [old, fresh] = [before, after].map((config) => leaves(absolutePaths(config))) as [Leaves, Leaves]
  const keys = [...new Set([...old.keys(), ...fresh.keys()])]
  const changes = keys
    .filter((key) => JSON.stringify(old.get(key)) !== JSON.stringify(fresh.get(key)))
    .map((key) => ({ key, before: old.get(key), after: fresh.get(key) }))
  return {
    deciding: changes.filter(({ key }) => !isOf(key, FREE) && !isOf(key, ROUNDING)),
    rounding: changes.filter(({ key }) => isOf(key, ROUNDING)),
    free: changes.filter(({ key }) => isOf(key, FREE)),
  }
}

/** Return the SHA-256 of the keys that decide a training. */
export function decidingHash(config: object): string {
  const deciding = [...leaves(config)].filter(([key]) => !isOf(key, FREE) && !isOf(key, ROUNDING))
  deciding.sort(([a], [b]) => (a < b ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(deciding)).digest('hex')
}

function isOf(key: string, family: readonly string[]): boolean {
  return family.some((one) => key === one || key.startsWith(`${one}.`))
}

export type Leaves = Map<string, unknown>

/** Return dotted keys with their values; a list is a value. */
export function leaves(value: object, path = ''): Leaves {
  const found = new Map<string, unknown>()
  for (const [name, inner] of Object.entries(value)) {
    const key = path === '' ? name : `${path}.${name}`
    if (typeof inner === 'object' && inner !== null && !Array.isArray(inner))
      for (const [below, leaf] of leaves(inner, key)) found.set(below, leaf)
    else found.set(key, inner)
  }
  return found
}
