import { posix } from 'node:path'
import { ConfigError } from '../errors.js'
import type { ClusterJob } from './job.js'
import { refuseControl } from './quote.js'

/** An object of Kubernetes, or a part of one. */
export interface KubernetesObject {
  readonly [key: string]: unknown
}

/** Folder of the container with the start script and the configuration. */
export const START_FOLDER = '/etc/freetumor'
export const START_FILE = 'start.sh'
export const CONFIG_FILE = 'config.yaml'
const SHARED_MEMORY = '/dev/shm'
const CLAIM = /^(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/
/** Trainer identifies the container of a node by this name. */
export const CONTAINER = 'node'

/**
 * Return the pod of a job. It runs as an ordinary user without capabilities, has no access to the API of Kubernetes, and
 * takes its script from the ConfigMap `name`. No text of a user stands in its command.
 * @throws ConfigError for a value that Kubernetes would refuse
 */
export function podSpec(job: ClusterJob, name: string): KubernetesObject {
  const { cluster, stopSeconds } = job
  const { timeHours, kubernetes } = cluster
  const { userId, groupId, nodeSelector, tolerations } = kubernetes
  const volumes = volumesOf(job, name)
  return {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: stopSeconds,
    ...(timeHours === null ? {} : { activeDeadlineSeconds: Math.ceil(timeHours * 3600) }),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: groupId,
      fsGroup: groupId,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    },
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(tolerations.length === 0 ? {} : { tolerations: tolerations.map(toleration) }),
    containers: [container(job, volumes)],
    volumes: volumes.map(({ name: volume, source }) => ({ name: volume, ...source })),
  }
}

function container(job: ClusterJob, volumes: readonly Volume[]): KubernetesObject {
  const { work } = job
  return {
    name: CONTAINER,
    image: imageOf(job),
    command: ['/bin/sh', `${START_FOLDER}/${START_FILE}`],
    // relative paths in the words of a user start there
    ...(work.kind === 'training' ? {} : { workingDir: job.workingDirectory }),
    ...environmentOf(job),
    resources: resourcesOf(job),
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    // an image can replace SIGTERM by another stop signal
    lifecycle: { preStop: { exec: { command: ['/bin/sh', '-c', 'kill -TERM 1'] } } },
    volumeMounts: volumes.flatMap(({ name, mounts }) => mounts.map((mount) => ({ name, ...mount }))),
  }
}

function imageOf({ cluster: { image } }: ClusterJob): string {
  const wrong = (found: string, hint: string): ConfigError =>
    new ConfigError(`cluster.image: wrong value (expected an image of a registry, found ${found})`, { hint })
  if (image === null)
    throw wrong('null', 'build an image as docs/cluster.md shows, and set cluster.image to its name')
  const name = image.replace(/^docker:\/\//, '')
  if (!/^[a-zA-Z0-9][\w.:/@-]*$/.test(name) || name.endsWith('.sif') || name.includes('//'))
    throw wrong(JSON.stringify(image), 'name an image such as registry.example.org/freetumor:0.2.0')
  return name
}

/** Return the variables of a container. Kubernetes replaces `$(NAME)` in values; a doubled `$` stays one. */
function environmentOf({ cluster }: ClusterJob): KubernetesObject {
  const { environment, environmentFile, kubernetes } = cluster
  const { secret } = kubernetes
  if (environmentFile !== null && secret === null)
    throw new ConfigError(
      'cluster.environmentFile: wrong key for Kubernetes (expected cluster.kubernetes.secret, found a file)',
      {
        hint: 'run `kubectl create secret generic NAME --from-env-file=FILE`, and set cluster.kubernetes.secret: NAME',
      },
    )
  const env = Object.entries(environment).map(([name, value]) => {
    if (/^(PET_|JOB_COMPLETION_INDEX$)/.test(name))
      throw new ConfigError(`cluster.environment.${name}: reserved name (Kubernetes sets it)`, {
        hint: `remove ${name}`,
      })
    refuseControl(value, `cluster.environment.${name}`)
    return { name, value: value.replaceAll('$', '$$$$') }
  })
  return {
    ...(env.length === 0 ? {} : { env }),
    ...(secret === null ? {} : { envFrom: [{ secretRef: { name: secret } }] }),
  }
}

/** CPU cores are requested without a limit: a limit throttles threads that the node has room for. */
function resourcesOf({ node, cluster }: ClusterJob): KubernetesObject {
  const memory = node.memoryGB === null ? {} : { memory: mebibytes(node.memoryGB) }
  const gpus = node.gpus === 0 ? {} : { [cluster.kubernetes.gpuResource]: `${node.gpus}` }
  const limits = { ...memory, ...gpus }
  return {
    requests: { cpu: `${node.cpus}`, ...memory },
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  }
}

interface Mount {
  readonly mountPath: string
  readonly readOnly?: boolean
}

interface Volume {
  readonly name: string
  readonly source: KubernetesObject
  readonly mounts: readonly Mount[]
}

const DEFAULT_SHARED_MEMORY_GB = 16

function volumesOf(job: ClusterJob, name: string): Volume[] {
  const { mounts } = job.cluster
  refuseMounts(job)
  const claims = [...new Set(mounts.map(({ source }) => source))]
  return [
    { name: 'start', source: { configMap: { name } }, mounts: [{ mountPath: START_FOLDER, readOnly: true }] },
    {
      name: 'shared-memory',
      source: { emptyDir: { medium: 'Memory', sizeLimit: mebibytes(sharedMemoryGB(job)) } },
      mounts: [{ mountPath: SHARED_MEMORY }],
    },
    ...claims.map((claimName, at) => ({
      name: `claim-${at}`,
      source: { persistentVolumeClaim: { claimName } },
      mounts: mounts
        .filter(({ source }) => source === claimName)
        .map(({ target, readOnly }) => ({ mountPath: target, ...(readOnly ? { readOnly } : {}) })),
    })),
  ]
}

/** Refuse mounts that Kubernetes refuses, and a run directory that would end with its pod. @throws ConfigError */
function refuseMounts({ cluster: { mounts }, directory }: ClusterJob): void {
  const wrong = (key: string, expected: string, found: string, hint: string): ConfigError =>
    new ConfigError(`cluster.mounts${key}: wrong value (expected ${expected}, found ${found})`, { hint })
  for (const [at, { source, target }] of mounts.entries()) {
    if (!CLAIM.test(source))
      throw wrong(
        `.${at}.source`,
        'the name of a PersistentVolumeClaim',
        JSON.stringify(source),
        '`kubectl get pvc` lists the claims',
      )
    const others = mounts.slice(0, at).map((mount) => posix.resolve(mount.target))
    const taken = ['/', START_FOLDER, SHARED_MEMORY, ...others]
    if (target.includes(':') || taken.includes(posix.resolve(target)))
      throw wrong(`.${at}.target`, 'a folder of its own, without a colon', target, 'choose another folder')
  }
  const holding = mountOf(directory, mounts)
  if (holding === null || holding.readOnly)
    throw wrong(
      '',
      `a writable mount that holds the run directory ${directory}`,
      mounts.map(({ target, readOnly }) => `${target}${readOnly ? ' (read-only)' : ''}`).join(', ') || 'none',
      'mount a claim there, or choose another --out',
    )
}

type ClusterMount = ClusterJob['cluster']['mounts'][number]

/** Return the mount that holds a path of the pods; null if none does. */
export function mountOf(path: string, mounts: readonly ClusterMount[]): ClusterMount | null {
  return mounts
    .filter(({ target }) => isWithin(path, target))
    .reduce<ClusterMount | null>(
      (best, mount) => (best === null || mount.target.length > best.target.length ? mount : best),
      null,
    )
}

/** Return whether a path is a folder or below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

function sharedMemoryGB({ node: { memoryGB }, cluster: { kubernetes } }: ClusterJob): number {
  const wanted = kubernetes.sharedMemoryGB
  if (wanted === null)
    return Math.min(DEFAULT_SHARED_MEMORY_GB, memoryGB === null ? DEFAULT_SHARED_MEMORY_GB : memoryGB / 2)
  if (memoryGB !== null && wanted > memoryGB)
    throw new ConfigError(
      `cluster.kubernetes.sharedMemoryGB: too large (expected at most cluster.memoryGB, ${memoryGB}, found ${wanted})`,
      { hint: 'raise cluster.memoryGB: shared memory counts as memory of the pod' },
    )
  return wanted
}

function mebibytes(gigabytes: number): string {
  return `${Math.ceil(gigabytes * 1024)}Mi`
}

type Toleration = ClusterJob['cluster']['kubernetes']['tolerations'][number]

function toleration({ key, value, effect }: Toleration): KubernetesObject {
  return {
    key,
    ...(value === null ? { operator: 'Exists' } : { operator: 'Equal', value }),
    ...(effect === null ? {} : { effect }),
  }
}
