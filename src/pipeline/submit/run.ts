import { rm, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { REQUESTS_FOLDER, SUBMISSION_FOLDER } from '../../cluster/folders.js'
import {
  type ClusterJob,
  type ClusterWork,
  nodeResources,
  ranksOnCluster,
  type Scheduler,
  stopSecondsOf,
} from '../../cluster/job.js'
import { refuseControl } from '../../cluster/quote.js'
import { sbatchScript } from '../../cluster/slurm.js'
import { recordConfig } from '../../config/load.js'
import { resolveConfig } from '../../config/resolve.js'
import type { RunConfig } from '../../config/schema.js'
import { ConfigError, UsageError } from '../../errors.js'
import { quoted } from '../../plain-text.js'
import { newRunId } from '../../training/run-directory.js'
import { makeFolder, refuseUnwritableFolder, writeWhole } from '../../whole-file.js'
import { refuseTrainingOnEachNode } from '../nodes.js'
import type { JobScheduler } from '../ports/scheduler.js'
import { jobState } from '../runs/job-state.js'
import { jobInWords, readSubmission, type Submission, writeSubmission } from '../runs/submission.js'
import { refuseAbsentTraining } from '../train/check.js'
import { measuredTimes } from './measured-times.js'

/** Installation of freetumor that the nodes use. */
export interface Installation {
  readonly program: readonly string[]
  readonly python: string | null
}

export interface SubmissionOptions {
  /** Run directory, on a disk that all nodes share. Default: `runs/<name>/<id>`. */
  readonly out?: string | undefined
  /** Other work than the training of the configuration. */
  readonly work?: Exclude<ClusterWork, { kind: 'training' }> | undefined
  readonly workingDirectory?: string | undefined
}

/** A job with its script. Nothing is written yet. */
export interface PlannedJob {
  readonly job: ClusterJob
  readonly script: string
  /** Text of the configuration that the job reads; null for other work than a training. */
  readonly config: string | null
}

/** A submitted job. */
export interface SubmittedJob {
  /** Id of the job. */
  readonly id: string
  /** The run directory. */
  readonly directory: string
}

/**
 * Return the job of a configuration and its script. Nothing is written or started.
 * @throws ConfigError if the configuration has no `cluster`, or values that contradict each other
 */
export async function planJob(
  config: RunConfig,
  installation: Installation,
  options: SubmissionOptions = {},
): Promise<PlannedJob> {
  const described = await describeJob(config, 'slurm', installation, options)
  return { ...described, script: sbatchScript(described.job) }
}

/** Return the job of a configuration, and the text of the configuration that it reads. @throws ConfigError */
export async function describeJob(
  config: RunConfig,
  scheduler: Scheduler,
  installation: Installation,
  options: SubmissionOptions,
): Promise<Pick<PlannedJob, 'job' | 'config'>> {
  const { cluster } = config
  if (cluster === null)
    throw new ConfigError(`${config.name}: no cluster (expected a section \`cluster\`, found null)`, {
      hint: 'add `cluster: { nodes: 1 }` to the file, or pass --set cluster.nodes=1',
    })
  const submitted = resolveConfig({
    ...config,
    runtime: { ...config.runtime, ...ranksOnCluster({ ...config, cluster }) },
  })
  if (options.work === undefined) {
    // paths on Kubernetes are those of the pods
    if (scheduler === 'slurm') await refuseAbsentTraining(submitted)
    if (submitted.runtime.nodes > 1) refuseTrainingOnEachNode(submitted)
  }
  const directory = resolve(options.out ?? join('runs', config.name, newRunId()))
  refuseControl(directory, 'run directory')
  const file = join(directory, SUBMISSION_FOLDER, 'config.yaml')
  const work = options.work ?? { kind: 'training', config: file }
  const isSingle = work.kind === 'array' || work.kind === 'command'
  const job: ClusterJob = {
    name: nameOf(work, config),
    directory,
    workingDirectory: resolve(options.workingDirectory ?? '.'),
    work,
    nodes: isSingle ? 1 : submitted.runtime.nodes,
    // a command such as `merge` trains and predicts nothing
    node: { ...nodeResources({ ...submitted, cluster }), ...(work.kind === 'command' ? { gpus: 0 } : {}) },
    stopSeconds: stopSecondsOf(cluster[scheduler].stopSeconds, await measuredTimes(directory)),
    program: cluster.image === null ? installation.program : ['freetumor'],
    python: cluster.image === null ? (config.runtime.python ?? installation.python) : null,
    cluster,
  }
  return { job, config: options.work === undefined ? recordConfig(submitted) : null }
}

function nameOf(work: ClusterWork, { name }: RunConfig): string {
  if (work.kind === 'training') return name
  if (work.kind === 'script') return basename(work.argv[0] ?? 'script').replace(/[^A-Za-z0-9._-]/g, '-')
  return `${name}-${work.argv[0]}`
}

/**
 * Write the files of a planned job and submit it. A refused job leaves no files.
 * @throws UsageError if the directory has a job already, EnvironmentError if the scheduler refuses the job
 */
export async function submitJob(
  { job, script, config }: PlannedJob,
  scheduler: JobScheduler,
  after: Submission['after'] = null,
): Promise<SubmittedJob> {
  const { directory, name } = job
  return await submitIn(job, scheduler, async (folder) => {
    const file = join(folder, 'job.sbatch')
    const record = config === null ? null : join(folder, 'config.yaml')
    if (config !== null) await writeWhole(record!, config)
    await writeWhole(file, script)
    const id = await scheduler.submit(file, after && { ids: [after.id], until: 'completed' })
    const submitted = new Date().toISOString()
    await writeSubmission(directory, {
      ...{ scheduler: 'slurm', id, name, submitted, config: record, after },
      ...{ array: null, namespace: null },
    })
    return { id, directory }
  })
}

/**
 * Make the folders of a job in its directory, and submit it. Folders that are new are removed after a failure.
 * @param submit receives the folder `submission`
 * @throws UsageError if the directory has a job already, ConfigError for a job beyond the limits of its partition
 */
export async function submitIn<T>(
  job: ClusterJob,
  scheduler: JobScheduler,
  submit: (folder: string) => Promise<T>,
): Promise<T> {
  const { directory } = job
  const folder = join(directory, SUBMISSION_FOLDER)
  const isMissing = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) === null
  const added = (await isMissing(directory)) ? directory : (await isMissing(folder)) ? folder : null
  await refuseUnwritableFolder(directory)
  await refuseActive(directory, scheduler)
  await refuseBeyondLimits(job, scheduler)
  try {
    await makeFolder(folder)
    await makeFolder(join(directory, 'logs'))
    // other nodes control the run through files in it
    await makeFolder(join(directory, REQUESTS_FOLDER), 0o700)
    return await submit(folder)
  } catch (error) {
    if (added !== null) await rm(added, { recursive: true, force: true })
    throw error
  }
}

async function refuseActive(directory: string, scheduler: JobScheduler): Promise<void> {
  const earlier = await readSubmission(directory)
  if (earlier === null || earlier.scheduler !== scheduler.kind) return
  const job = await jobState(directory, earlier, (ids) => scheduler.states(ids))
  if (job.ended) return
  throw new UsageError(`${directory}: its job is in the queue (expected no job, found ${jobInWords(job)})`, {
    hint: `\`freetumor runs stop ${quoted(directory)}\` ends it`,
  })
}

/** Slurm accepts a job beyond the limits of its partition, which then stays pending. */
async function refuseBeyondLimits({ nodes, cluster }: ClusterJob, scheduler: JobScheduler): Promise<void> {
  const { maxHours, maxNodes } = await scheduler.limits(cluster.partition)
  const where = cluster.partition === null ? 'the default partition' : `partition ${cluster.partition}`
  const fail = (key: string, limit: number, unit: string, found: number): never => {
    throw new ConfigError(
      `${key}: above the limit of ${where} (expected at most ${limit} ${unit}, found ${found})`,
      {
        hint: `lower ${key}, or choose another cluster.partition; \`sinfo\` lists them`,
      },
    )
  }
  if (maxHours !== null && (cluster.timeHours ?? 0) > maxHours)
    fail('cluster.timeHours', maxHours, 'h', cluster.timeHours!)
  if (maxNodes !== null && nodes > maxNodes) fail('cluster.nodes', maxNodes, 'nodes', nodes)
}
