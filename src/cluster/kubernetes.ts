import { Document, visit } from 'yaml'
import { ConfigError, EXIT } from '../errors.js'
import type { ClusterJob } from './job.js'
import { kubernetesName } from './kubernetes-names.js'
import { CONFIG_FILE, CONTAINER, type KubernetesObject, podSpec, START_FILE } from './pod.js'
import { PREEMPTED, startScript } from './start-script.js'

/** Manifests of a job. */
export interface KubernetesJob {
  /** Name of every object of the job. */
  readonly name: string
  readonly kind: 'trainjob' | 'job'
  readonly objects: readonly KubernetesObject[]
}

export interface KubernetesOptions {
  /** Text of the configuration; the pods read it from a ConfigMap. */
  readonly config?: string | undefined
  /** Create a Job that starts no pod before a person, or another program, sets `suspend: false`. */
  readonly suspended?: boolean | undefined
}

/**
 * Return the manifests of a job: a TrainJob of Kubeflow Trainer 2 with its TrainingRuntime for a training or a script, an
 * Indexed Job for an array, a Job for another command. All take their script from a ConfigMap.
 * @throws ConfigError for a value that Kubernetes would refuse
 */
export function kubernetesJob(job: ClusterJob, options: KubernetesOptions = {}): KubernetesJob {
  const { work } = job
  const suffix = work.kind === 'command' ? `-${work.argv[0]}` : ''
  const name = `${kubernetesName(job.name, job.directory)}${suffix}`
  const pod = { metadata: { labels: labelsOf(name) }, spec: podSpec(job, name) }
  const isTogether = work.kind === 'training' || work.kind === 'script'
  const kind = isTogether ? 'trainjob' : 'job'
  const start = configMap(job, name, `${kind}/${name}`, options)
  const objects = isTogether
    ? [trainingRuntime(job, name, pod), trainJob(job, name)]
    : [plainJob(job, name, pod, options)]
  return { name, kind, objects: [start, ...objects] }
}

/** Texts that need no quotes in YAML 1.1. */
const PLAIN = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z/][\w./:@-]*$/i

/** Return the YAML of objects for `kubectl`, which reads YAML 1.1: `yes`, `1:30` and `<<` without quotes are no texts. */
export function manifestText(objects: readonly KubernetesObject[]): string {
  const print = (object: KubernetesObject): string => {
    const document = new Document(object, { aliasDuplicateObjects: false })
    visit(document, {
      Scalar: (_, scalar) => {
        if (typeof scalar.value !== 'string' || PLAIN.test(scalar.value)) return
        scalar.type = scalar.value.includes('\n') ? 'BLOCK_LITERAL' : 'QUOTE_DOUBLE'
      },
    })
    return document.toString({ lineWidth: 0 })
  }
  return objects.map(print).join('---\n')
}

/** Return the keys of `cluster` that are set and have no meaning on Kubernetes. */
export function ignoredOnKubernetes({ cluster }: Pick<ClusterJob, 'cluster'>): string[] {
  const { account, partition, qos, modules } = cluster
  const given = { account, partition, qos, modules: modules.length > 0 ? modules : null }
  return Object.entries(given).flatMap(([key, value]) => (value === null ? [] : [`cluster.${key}`]))
}

function labelsOf(name: string): Record<string, string> {
  return { 'app.kubernetes.io/name': 'freetumor', 'app.kubernetes.io/instance': name }
}

function metadata(
  { cluster, directory }: ClusterJob,
  name: string,
  more: Readonly<Record<string, string>> = {},
): KubernetesObject {
  const { namespace } = cluster.kubernetes
  return {
    name,
    ...(namespace === null ? {} : { namespace }),
    labels: { ...labelsOf(name), ...more },
    annotations: { 'freetumor/directory': directory },
  }
}

/** Kueue admits the objects that have this label. */
function queueLabel({ cluster: { kubernetes } }: ClusterJob): Record<string, string> {
  return kubernetes.localQueue === null ? {} : { 'kueue.x-k8s.io/queue-name': kubernetes.localQueue }
}

/** The largest configuration file that freetumor reads; a ConfigMap holds 1 MiB. */
const MOST_CONFIG_BYTES = 256 * 1024

function configMap(
  job: ClusterJob,
  name: string,
  id: string,
  { config }: KubernetesOptions,
): KubernetesObject {
  const script = startScript(job, id)
  const bytes = Buffer.byteLength(config ?? '')
  if (bytes > MOST_CONFIG_BYTES)
    throw new ConfigError(
      `${job.name}: the configuration is too large (expected at most ${MOST_CONFIG_BYTES} bytes, found ${bytes})`,
      { hint: 'name lists of cases as files of a mounted folder' },
    )
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata(job, name),
    data: { [START_FILE]: script, ...(config === undefined ? {} : { [CONFIG_FILE]: config }) },
  }
}

/** A TrainJob cannot state a podFailurePolicy; its runtime can. */
function trainingRuntime(job: ClusterJob, name: string, pod: KubernetesObject): KubernetesObject {
  const { maxRetries } = job.cluster.kubernetes
  return {
    apiVersion: 'trainer.kubeflow.org/v1alpha1',
    kind: 'TrainingRuntime',
    metadata: metadata(job, name, { 'trainer.kubeflow.org/framework': 'torch' }),
    spec: {
      mlPolicy: { numNodes: job.nodes, torch: {} },
      template: {
        spec: {
          replicatedJobs: [
            {
              name: CONTAINER,
              replicas: 1,
              template: {
                metadata: { labels: { 'trainer.kubeflow.org/trainjob-ancestor-step': 'trainer' } },
                spec: {
                  completionMode: 'Indexed',
                  backoffLimit: maxRetries,
                  podFailurePolicy: { rules: [ends('FailJob', FINAL), ...BEGINS_AGAIN] },
                  template: pod,
                },
              },
            },
          ],
        },
      },
    },
  }
}

/** `trainer` must be present: without it, Trainer sets no rank and no rendezvous. */
function trainJob(job: ClusterJob, name: string): KubernetesObject {
  return {
    apiVersion: 'trainer.kubeflow.org/v1alpha1',
    kind: 'TrainJob',
    metadata: metadata(job, name, queueLabel(job)),
    spec: {
      runtimeRef: { apiGroup: 'trainer.kubeflow.org', kind: 'TrainingRuntime', name },
      trainer: { numNodes: job.nodes, numProcPerNode: job.node.ranks },
    },
  }
}

function plainJob(
  job: ClusterJob,
  name: string,
  pod: KubernetesObject,
  { suspended = false }: KubernetesOptions,
): KubernetesObject {
  const { maxRetries, maxConcurrentTasks } = job.cluster.kubernetes
  const { work } = job
  const spec =
    work.kind === 'array'
      ? {
          completionMode: 'Indexed',
          completions: work.shards,
          parallelism: Math.min(work.shards, maxConcurrentTasks ?? work.shards),
          // a shard that fails leaves the others running
          backoffLimitPerIndex: maxRetries,
          podFailurePolicy: {
            rules: [ends('FailJob', FINAL_FOR_ALL), ends('FailIndex', FINAL_FOR_SHARD), ...BEGINS_AGAIN],
          },
        }
      : {
          backoffLimit: maxRetries,
          podFailurePolicy: { rules: [ends('FailJob', FINAL), ...BEGINS_AGAIN] },
        }
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    // Kueue would start a suspended job
    metadata: metadata(job, name, suspended ? {} : queueLabel(job)),
    spec: { ...(suspended ? { suspend: true } : {}), ...spec, template: pod },
  }
}

/** The same configuration, command and data fail again; a stop was wanted. */
const FINAL = [EXIT.usage, EXIT.data, EXIT.leak, EXIT.stopped]
const FINAL_FOR_ALL = [EXIT.usage]
const FINAL_FOR_SHARD = [EXIT.data, EXIT.leak, EXIT.stopped, EXIT.interrupted]

function ends(action: 'FailJob' | 'FailIndex', values: readonly number[]): KubernetesObject {
  return { action, onExitCodes: { containerName: CONTAINER, operator: 'In', values } }
}

/** A preempted pod or one of a lost node starts again, and does not count as a retry. */
const BEGINS_AGAIN: readonly KubernetesObject[] = [
  { action: 'Ignore', onExitCodes: { containerName: CONTAINER, operator: 'In', values: [PREEMPTED] } },
  { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
]
