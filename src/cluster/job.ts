import type { RunConfig } from '../config/schema.js'
import type { ClusterSection } from '../config/sections/cluster.js'
import { ConfigError } from '../errors.js'
import { shellWord } from './quote.js'

/** Schedulers that jobs are written for. */
export const SCHEDULERS = ['slurm', 'kubernetes'] as const
export type Scheduler = (typeof SCHEDULERS)[number]

/** Work of a job. */
export type ClusterWork =
  /** A training from a configuration file; a later start of the job resumes it. */
  | { readonly kind: 'training'; readonly config: string }
  /** A torchrun script of the user; it must resume by itself. */
  | { readonly kind: 'script'; readonly argv: readonly string[] }
  /** A command of freetumor, such as `merge DIR`. */
  | { readonly kind: 'command'; readonly argv: readonly string[] }
  /** A command of freetumor that takes `--shard i/n`: one task for each shard. */
  | {
      readonly kind: 'array'
      readonly argv: readonly string[]
      readonly shards: number
      /** Tasks of this job, as `--array` takes them: `1-1000%50`. */
      readonly slice: string
      /** Task T works on shard `offset + T`. */
      readonly offset: number
    }

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
  /** Time between the warning of the scheduler and the time limit. */
  readonly stopSeconds: number
  /** Command line that starts freetumor on a node, such as `node dist/cli/start.js`; in an image `freetumor`. */
  readonly program: readonly string[]
  /** Python of the runtime on the nodes; null in an image, or for the environment of `freetumor setup`. */
  readonly python: string | null
  readonly cluster: ClusterSection
}

/** Texts that a shell replaces on the node. */
export interface NodeReferences {
  readonly nodeRank: string
  /** HOST:PORT of node 0. */
  readonly rendezvous: string
  /** Number of the shard, from 1. */
  readonly shard: string
  /** Folder of this node in this start of the job, for a script's logs. */
  readonly launchDirectory: string
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
  // `auto` uses the cores that the job gets, so it requests one for each rank
  const threads = runtime.threadsPerProcess === 'auto' ? 1 : runtime.threadsPerProcess
  return {
    ranks,
    gpus: cluster.gpusPerNode ?? (runtime.device === 'cpu' ? 0 : ranks),
    // one core for TypeScript and its sockets
    cpus: cluster.cpusPerNode ?? ranks * threads + sampling.workers + 1,
    memoryGB: cluster.memoryGB,
  }
}

/** Measured times of a training, for the warning before a time limit. */
export interface MeasuredTimes {
  /** The longest step. */
  readonly stepSeconds: number
  /** The longest time between the end of a step and its checkpoint. */
  readonly saveSeconds: number
}

/** Time of the warning without a measurement. */
const UNMEASURED_STOP_SECONDS = 120
/** Least time of the warning: processes need some seconds to end and to write the report. */
const LEAST_STOP_SECONDS = 30
/** Limit of `sbatch --signal`. */
const MOST_STOP_SECONDS = 65_535

/**
 * Return the time that a run needs from the warning to its end: the step in hand, the step after it and a save, all doubled
 * for a slow disk, and 30 s to end.
 * @param wanted the value of the configuration
 */
export function stopSecondsOf(wanted: number | null, measured: MeasuredTimes | null): number {
  if (wanted !== null) return wanted
  if (measured === null) return UNMEASURED_STOP_SECONDS
  const { stepSeconds, saveSeconds } = measured
  return Math.min(MOST_STOP_SECONDS, LEAST_STOP_SECONDS + Math.ceil(2 * (2 * stepSeconds + saveSeconds)))
}

/** Wait for ranks of a lost node that still train: they end when they miss the other nodes. In seconds. */
const LOCK_WAIT = '1800'

/**
 * Return the shell command that one node of a job runs.
 * @throws ConfigError if a word of it holds a line break
 */
export function nodeCommand(job: ClusterJob, references: NodeReferences): string {
  const { work, directory } = job
  const words = (...texts: readonly string[]): string[] => texts.map((text) => shellWord(text, 'command'))
  const own = [...containerWords(job), ...words(...job.program)]
  const place = placeWords(job, references)
  switch (work.kind) {
    case 'training':
      return [
        ...own,
        ...words(
          'train',
          '--config',
          work.config,
          '--out',
          directory,
          '--continue',
          '--lock-wait',
          LOCK_WAIT,
        ),
        ...place,
      ].join(' ')
    case 'script': {
      const stop = Math.max(LEAST_STOP_SECONDS, job.stopSeconds - LEAST_STOP_SECONDS)
      const ranks = words('--processes', `${job.node.ranks}`, '--stop-seconds', `${stop}`)
      return [
        ...own,
        'launch',
        '--out',
        references.launchDirectory,
        ...ranks,
        ...place,
        '--',
        ...words(...work.argv),
      ].join(' ')
    }
    case 'command':
      return [...own, ...words(...work.argv)].join(' ')
    case 'array':
      return [...own, ...words(...work.argv), '--shard', `${references.shard}/${work.shards}`].join(' ')
  }
}

/** Return the shell command that checks one node before the work; null for work that needs no check. */
export function preflightCommand(job: ClusterJob, references: NodeReferences): string | null {
  if (!job.cluster.check || (job.work.kind !== 'training' && job.work.kind !== 'script')) return null
  const words = [...job.program, 'doctor', '--run', job.directory].map((text) => shellWord(text, 'command'))
  return [...containerWords(job), ...words, ...placeWords(job, references)].join(' ')
}

function placeWords({ nodes }: ClusterJob, { nodeRank, rendezvous }: NodeReferences): string[] {
  if (nodes === 1) return []
  return ['--nodes', `${nodes}`, '--node-rank', nodeRank, '--rendezvous', rendezvous]
}

/** Return the words that start a command in the image of the job; none without an image. */
function containerWords({ cluster, node, workingDirectory }: ClusterJob): string[] {
  const { image, mounts, slurm } = cluster
  if (image === null) return []
  const binds = mounts.map(({ source, target, readOnly }) => {
    if (/[,:]/.test(source + target))
      throw new ConfigError(`cluster.mounts: wrong path (expected no comma and no colon, found ${source})`, {
        hint: 'mount a folder above it',
      })
    return `${source}:${target}${readOnly ? ':ro' : ''}`
  })
  return [
    slurm.containerProgram,
    'exec',
    ...(node.gpus > 0 ? ['--nv'] : []),
    ...binds.flatMap((bind) => ['--bind', bind]),
    '--pwd',
    workingDirectory,
    image,
  ].map((text) => shellWord(text, 'cluster.image'))
}
