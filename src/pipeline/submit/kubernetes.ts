import type { ClusterJob, ClusterWork } from '../../cluster/job.js'
import { ignoredOnKubernetes, kubernetesJob, manifestText } from '../../cluster/kubernetes.js'
import { CONFIG_FILE, isWithin, START_FOLDER } from '../../cluster/pod.js'
import { pathsOf } from '../../config/paths.js'
import type { RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import type { Kubectl } from '../ports/kubectl.js'
import { mergedPath } from './array.js'
import { describeJob, type SubmissionOptions, type SubmittedJob } from './run.js'

/** A job with its manifests. Nothing is written or sent yet. */
export interface PlannedManifests {
  readonly job: ClusterJob
  /** Kind and name of the job as kubectl takes it, such as `trainjob/NAME`. */
  readonly id: string
  readonly text: string
  /** The job that merges an array; it starts no pod by itself. Null for other work. */
  readonly merge: string | null
  readonly notes: readonly string[]
}

/** Freetumor in the image. */
const IN_IMAGE = { program: ['freetumor'], python: null }

/** Largest number of completions of an Indexed Job. */
const MOST_TASKS = 100_000

/** Return the work of a command over many cases, one task for each shard. @throws UsageError */
export function arrayOnKubernetes(argv: readonly string[], shards: number): ArrayWork {
  mergedPath(argv)
  if (shards > MOST_TASKS)
    throw new UsageError(
      `--array: more tasks than Kubernetes accepts (expected at most ${MOST_TASKS}, found ${shards})`,
      { hint: `pass --array ${MOST_TASKS}: each task then has more cases` },
    )
  return { kind: 'array', argv, shards, slice: `1-${shards}`, offset: 0 }
}

type ArrayWork = Extract<ClusterWork, { kind: 'array' }>

/**
 * Return the job of a configuration and its manifests. Nothing is written or sent.
 * @throws ConfigError for a configuration that Kubernetes cannot run
 */
export async function planOnKubernetes(
  config: RunConfig,
  options: SubmissionOptions = {},
): Promise<PlannedManifests> {
  const inImage = { ...config, runtime: { ...config.runtime, python: null } }
  const described = await describeJob(inImage, 'kubernetes', IN_IMAGE, options)
  const { work } = described.job
  const job: ClusterJob = {
    ...described.job,
    ...IN_IMAGE,
    work: work.kind === 'training' ? { ...work, config: `${START_FOLDER}/${CONFIG_FILE}` } : work,
  }
  const main = kubernetesJob(job, { config: described.config ?? undefined })
  const merge = work.kind === 'array' ? kubernetesJob(mergeOf(job, work), { suspended: true }) : null
  return {
    job,
    id: `${main.kind}/${main.name}`,
    text: manifestText([...main.objects, ...(merge?.objects ?? [])]),
    merge: merge === null ? null : `${merge.kind}/${merge.name}`,
    notes: notesOf(job, config),
  }
}

function mergeOf(job: ClusterJob, { argv }: ArrayWork): ClusterJob {
  const work = { kind: 'command', argv: ['merge', mergedPath(argv)] } as const
  return { ...job, work, node: { ...job.node, gpus: 0 } }
}

/** Return warnings: keys without a meaning, and paths that the pods may lack. */
function notesOf(job: ClusterJob, config: RunConfig): string[] {
  const targets = job.cluster.mounts.map(({ target }) => target)
  const unmounted =
    job.work.kind === 'training'
      ? pathsOf({ ...config, runtime: { ...config.runtime, python: null }, cluster: null }).filter(
          ({ path }) => !targets.some((target) => isWithin(path, target)),
        )
      : []
  return [
    ...ignoredOnKubernetes(job).map((key) => `${key} has no effect on Kubernetes`),
    ...unmounted.map(
      ({ key, path }) =>
        `${key}: ${path} is below no mount (expected a folder of a claim, or one of the image)`,
    ),
  ]
}

/**
 * Send the manifests of a planned job to the cluster. If the cluster refuses one, none is left.
 * @throws UsageError if the job of this directory exists, EnvironmentError if the cluster refuses it or does not answer
 */
export async function submitToKubernetes(
  { job, id, text }: PlannedManifests,
  kubectl: Kubectl,
): Promise<SubmittedJob> {
  const { directory, cluster } = job
  const { namespace } = cluster.kubernetes
  if (await kubectl.exists(id, namespace))
    throw new UsageError(`${directory}: its job exists in the cluster (expected none, found ${id})`, {
      hint: `\`kubectl delete ${id}\` ends and removes it; then submit again to resume the run`,
    })
  await kubectl.create(text, namespace)
  return { id, directory }
}
