import type { ClusterJob } from '../../cluster/job.js'
import { ignoredOnKubernetes, kubernetesJob, manifestText } from '../../cluster/kubernetes.js'
import { CONFIG_FILE, isWithin, START_FOLDER } from '../../cluster/pod.js'
import { pathsOf } from '../../config/paths.js'
import type { RunConfig } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import type { Kubectl } from '../ports/kubectl.js'
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

/**
 * Return the job of a configuration and its manifests. Nothing is written or sent.
 * @throws ConfigError for a configuration that Kubernetes cannot run
 */
export async function planOnKubernetes(
  config: RunConfig,
  options: SubmissionOptions = {},
): Promise<PlannedManifests> {
  if (options.after !== undefined)
    throw new UsageError(
      'submit: Kubernetes has no dependencies between jobs (expected one job, found a chain)',
      {
        hint: 'submit each link when `kubectl wait` reports that the one before is complete, or use --to slurm',
      },
    )
  const inImage = { ...config, runtime: { ...config.runtime, python: null } }
  const described = await describeJob(inImage, 'kubernetes', IN_IMAGE, options)
  const { work } = described.job
  const job: ClusterJob = {
    ...described.job,
    ...IN_IMAGE,
    work: work.kind === 'training' ? { ...work, config: `${START_FOLDER}/${CONFIG_FILE}` } : work,
  }
  const main = kubernetesJob(job, { config: described.config ?? undefined })
  const merge = work.kind === 'array' ? kubernetesJob(mergeOf(job), { suspended: true }) : null
  return {
    job,
    id: `${main.kind}/${main.name}`,
    text: manifestText([...main.objects, ...(merge?.objects ?? [])]),
    merge: merge === null ? null : `${merge.kind}/${merge.name}`,
    notes: notesOf(job, config),
  }
}

function mergeOf(job: ClusterJob): ClusterJob {
  return { ...job, work: { kind: 'command', argv: ['merge', job.directory] }, node: { ...job.node, gpus: 0 } }
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
