import type { RunConfig } from '../config/schema.js'
import type { ClusterSection } from '../config/sections/cluster.js'
import { ConfigError } from '../errors.js'
import { shellWord } from './quote.js'

/** Schedulers that jobs are written for. */
export const SCHEDULERS = ['slurm', 'kubernetes'] as const
export type Scheduler = (typeof SCHEDULERS)[number]

/** Work of a job. */
export type ClusterWork =
  /** A training; a later start of the job resumes it. */
  | { readonly kind: 'training'; readonly config: string }
  /** A torchrun script of the user; it must resume by itself. */
  | { readonly kind: 'script'; readonly argv: readonly string[] }
  /** A command of freetumor that takes `--shard i/n`, one shard for each task. */
  | { readonly kind: 'array'; readonly argv: readonly string[]; readonly shards: number }

/** Resources of one node of a job. */
export interface NodeResources {
  readonly ranks: number
  readonly gpus: number
  readonly cpus: number
  /** Null: the default of the cluster. */
  readonly memoryGB: number | null
}

/**
 * A job of a cluster, independent of its scheduler. `sbatchScript` renders it for Slurm; a manifest for Kubernetes starts
 * from the same description.
 */
export interface ClusterJob {
  readonly name: string
  /** Absolute path of the run directory, on a disk that all nodes share. */
  readonly directory: string
  /** Absolute path of the folder in which the commands run. */
  readonly workingDirectory: string
  readonly work: ClusterWork
  readonly nodes: number
  readonly node: NodeResources
  /** Time between the warning of the scheduler and the end of the job. */
  readonly stopSeconds: number
  /** Command line that starts freetumor on a node, such as `node dist/cli/main.js`; in an image `freetumor`. */
  readonly program: readonly string[]
  /** Python of the runtime on the nodes; null in an image. */
  readonly python: string | null
  readonly cluster: ClusterSection
}

/** Text that a shell replaces on the node. */
export interface NodeReferences {
  readonly nodeRank: string
  /** HOST:PORT of node 0. */
  readonly rendezvous: string
  /** Number of the shard, from 1. */
  readonly shard: string
}

type Submitted = Pick<RunConfig, 'runtime' | 'sampling'> & { readonly cluster: ClusterSection }

/** Return the nodes and ranks of the submitted run: those of the cluster, else of `runtime`. */
export function ranksOnCluster({
  runtime,
  cluster,
}: Pick<Submitted, 'runtime' | 'cluster'>): Pick<RunConfig['runtime'], 'nodes' | 'processesPerNode'> {
  const { nodes, gpusPerNode } = cluster
  return {
    nodes: nodes ?? runtime.nodes,
    processesPerNode: gpusPerNode ? gpusPerNode : runtime.processesPerNode,
  }
}

/** Return the resources that each node of the submitted run needs. */
export function nodeResources(config: Submitted): NodeResources {
  const { runtime, sampling, cluster } = config
  const ranks = ranksOnCluster(config).processesPerNode
  return {
    ranks,
    gpus: cluster.gpusPerNode ?? (runtime.device === 'cpu' ? 0 : ranks),
    // one core for TypeScript and its sockets
    cpus: cluster.cpusPerNode ?? ranks * runtime.threadsPerProcess + sampling.workers + 1,
    memoryGB: cluster.memoryGB,
  }
}

/** Measured times of a training, for the warning before a time limit. */
export interface MeasuredTimes {
  /** The longest step, validation or checkpoint of the steps that were measured. */
  readonly stepSeconds: number
  readonly saveSeconds: number
}

/** Time of the warning without a measurement. */
const UNMEASURED_STOP_SECONDS = 120
/** Least time of the warning: processes need some seconds to end and to report. */
const LEAST_STOP_SECONDS = 30

/**
 * Return the time that a run needs from the warning to its end: the step in hand and one more of each node's queue, a save,
 * both doubled for a slow disk, and 30 s to end.
 */
export function stopSecondsOf(cluster: ClusterSection, measured: MeasuredTimes | null): number {
  if (cluster.slurm.stopSeconds !== null) return cluster.slurm.stopSeconds
  if (measured === null) return UNMEASURED_STOP_SECONDS
  return LEAST_STOP_SECONDS + Math.ceil(2 * (2 * measured.stepSeconds + measured.saveSeconds))
}

/**
 * Return the shell command of one node.
 * @throws ConfigError if a word of it holds a line break
 */
export function nodeCommand(job: ClusterJob, references: NodeReferences): string {
  const { work, nodes, directory, program } = job
  const words = (texts: readonly string[]): string[] => texts.map((text) => shellWord(text, 'command'))
  const place =
    nodes === 1
      ? []
      : ['--nodes', `${nodes}`, '--node-rank', references.nodeRank, '--rendezvous', references.rendezvous]
  const command = words(program)
  switch (work.kind) {
    case 'training':
      return [
        ...command,
        'train',
        ...words(['--config', work.config, '--out', directory]),
        '--continue',
        ...place,
      ].join(' ')
    case 'script':
      return [
        ...command,
        'launch',
        ...words(['--out', directory, '--processes', `${job.node.ranks}`]),
        ...place,
        '--',
        ...words(work.argv),
      ].join(' ')
    case 'array':
      return [...command, ...words(work.argv), '--shard', `${references.shard}/${work.shards}`].join(' ')
  }
}

/** Refuse a configuration without `cluster`. @throws ConfigError */
export function clusterOf(config: Pick<RunConfig, 'cluster'>, name: string): ClusterSection {
  if (config.cluster === null)
    throw new ConfigError(`${name}: cluster: missing (expected a section, found null)`, {
      hint: 'add `cluster: { nodes: 1 }`, or pass --set cluster.nodes=1',
    })
  return config.cluster
}
