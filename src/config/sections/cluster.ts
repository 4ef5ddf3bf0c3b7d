import { z } from 'zod'
import { key } from '../key.js'
import { OURS } from '../sources.js'
import { count, type DeepReadonly, natural, nonEmptyText, positive } from '../types.js'

/** Largest number in several fields of Kubernetes. */
const LARGEST_INT32 = 2 ** 31 - 1

/** A word of a job script: no space, quote or line break can end the line that holds it. */
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.,:/@+-]*$/, 'a word without spaces or quotes')
const line = z.string().regex(/^[^\p{Cc}\u2028\u2029]+$/u, 'one line of text')
const absolutePath = line.startsWith('/', 'an absolute path')

/** Names of variables that usually hold a secret; a script and `squeue` would show the value. */
const SECRET =
  /TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|_PASS$|_PWD$|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|WANDB_KEY|AUTH(?!OR)/i
const variable = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of a variable')
  .refine((name) => !SECRET.test(name), 'no name of a secret; use cluster.environmentFile')

const value = line.refine(
  (text) => !/:\/\/[^/\s@]*:[^/\s@]*@/.test(text),
  'no URL with a password; use cluster.environmentFile',
)

const mounts = z.strictObject({
  source: key(
    line,
    'Folder of the node; on Kubernetes, the name of a PersistentVolumeClaim.',
    'It must hold the same files on every node.',
    { source: OURS },
  ),
  target: key(
    absolutePath,
    'Folder in the container.',
    'Paths of the configuration must exist below it; use the path of the source.',
    { source: OURS },
  ),
  readOnly: key(
    z.boolean().default(false),
    'Mount the folder read-only.',
    'Run directory and cache need a writable mount.',
    { source: OURS },
  ),
})

const slurm = z.strictObject({
  gpuType: key(
    word.nullable().default(null),
    'Type of the GPUs as Slurm names it, such as `a100`; null takes any.',
    'The script requests `--gres=gpu:TYPE:N`.',
    { source: OURS },
  ),
  stopSeconds: key(
    natural.min(10).max(65_535).nullable().default(null),
    'Time before the time limit at which Slurm warns the job; null derives it from measured steps and saves.',
    'The run must finish its step and save within it; without a measurement it is 120 s.',
    { unit: 's', source: OURS },
  ),
  maxRequeues: key(
    natural.default(100),
    'Number of times that a preempted job or one at its time limit is requeued.',
    'After the last one the job ends with exit code 75.',
    { unit: 'requeues', source: OURS },
  ),
  maxConcurrentTasks: key(
    count.nullable().default(null),
    'Number of tasks of an array that run at the same time; null sets no limit.',
    'It becomes the `%N` of `sbatch --array`.',
    { unit: 'tasks', source: OURS },
  ),
  maxSubmitJobs: key(
    count.min(3).nullable().default(null),
    'Number of jobs that the user may have submitted at once; null asks `sacctmgr`.',
    'An array with more tasks is submitted in waves.',
    { unit: 'jobs', source: OURS },
  ),
  containerProgram: key(
    z.enum(['apptainer', 'singularity']).default('apptainer'),
    'Program that runs `cluster.image` on the nodes.',
    'Without an image it is not used.',
    { source: OURS },
  ),
  extraLines: key(
    z.array(line).default([]),
    'More lines of the script, such as `#SBATCH --reservation=NAME`.',
    'Lines of `#SBATCH` join the head; all others run before the training.',
    { source: OURS },
  ),
})

/** A qualified name of Kubernetes, such as `nvidia.com/gpu`. */
const labelName = z
  .string()
  .regex(
    /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/,
    'the name of a label',
  )
const labelValue = z
  .string()
  .regex(/^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/, 'the value of a label')

const tolerations = z.strictObject({
  key: key(labelName, 'Name of the taint.', 'Taints of other names are not tolerated.', { source: OURS }),
  value: key(
    labelValue.nullable().default(null),
    'Value of the taint; null tolerates every value.',
    'Taints of the name with another value are not tolerated.',
    { source: OURS },
  ),
  effect: key(
    z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).nullable().default(null),
    'Effect of the taint; null tolerates every effect.',
    'Taints of the name with another effect are not tolerated.',
    { source: OURS },
  ),
})

/** An object name of Kubernetes (RFC 1123 subdomain). */
const objectName = z
  .string()
  .regex(
    /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/,
    'a name of Kubernetes',
  )

const kubernetes = z.strictObject({
  namespace: key(
    z
      .string()
      .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'a DNS label')
      .nullable()
      .default(null),
    'Namespace of the objects; null is that of the current context.',
    'Claims and secrets must be in the same namespace.',
    { source: OURS },
  ),
  localQueue: key(
    labelValue.min(1).nullable().default(null),
    'LocalQueue of Kueue; null sets no queue label.',
    'Kueue then admits the job when its quota allows it.',
    { source: OURS },
  ),
  secret: key(
    objectName.nullable().default(null),
    'Secret whose entries become environment variables of the pods.',
    'Its values stand in no manifest.',
    { source: OURS },
  ),
  sharedMemoryGB: key(
    positive.max(1e6).nullable().default(null),
    'Size of `/dev/shm` in each pod; null is half of `cluster.memoryGB`, at most 16 GB.',
    'NCCL and worker processes fail if it is too small; it counts as memory of the pod.',
    { unit: 'GB', source: OURS },
  ),
  stopSeconds: key(
    natural.min(10).nullable().default(null),
    'Time between the stop signal and the end of a pod; null derives it from measured steps and saves.',
    'The run must finish its step and save within it; without a measurement it is 120 s.',
    { unit: 's', source: OURS },
  ),
  maxRetries: key(
    natural.max(LARGEST_INT32).default(3),
    'Number of times that a failed pod or shard is started again; preemptions and lost nodes do not count.',
    'After the last one the job fails.',
    { unit: 'retries', source: OURS },
  ),
  maxConcurrentTasks: key(
    count.nullable().default(null),
    'Number of tasks of an array that run at the same time; null sets no limit.',
    'It becomes the `parallelism` of the Job.',
    { unit: 'tasks', source: OURS },
  ),
  gpuResource: key(
    labelName.default('nvidia.com/gpu'),
    'Name of the GPUs as the device plugin reports them, such as `amd.com/gpu`.',
    'Pods request `cluster.gpusPerNode` of this resource.',
    { source: OURS },
  ),
  nodeSelector: key(
    z.record(labelName, labelValue).default({}),
    'Labels of the nodes that may run the pods.',
    'Without a label, Kubernetes may choose any node with enough resources.',
    { source: OURS },
  ),
  tolerations: key(
    z.array(tolerations).default([]),
    'Taints of nodes that the pods tolerate.',
    'Nodes with other taints take no pod of the job.',
    { source: OURS },
  ),
  userId: key(
    count.max(LARGEST_INT32).default(1000),
    'User id of the processes in the pods; root is refused.',
    'It must be able to write the mounted folders.',
    { source: OURS },
  ),
  groupId: key(
    count.max(LARGEST_INT32).default(1000),
    'Group id of the processes and of mounted claims.',
    'Kubernetes makes claims writable for this group where the storage supports it.',
    { source: OURS },
  ),
})

export const clusterSection = z.strictObject({
  account: key(
    word.nullable().default(null),
    'Account that is charged; null is the default of the user.',
    'Slurm refuses accounts that the user does not have.',
    { source: OURS },
  ),
  partition: key(
    word.nullable().default(null),
    'Partition of the job; null is the default of the cluster.',
    'It decides which nodes and limits apply.',
    { source: OURS },
  ),
  qos: key(
    word.nullable().default(null),
    'Quality of service of the job; null is the default of the account.',
    'It decides priority, limits and preemption.',
    { source: OURS },
  ),
  nodes: key(
    count.nullable().default(null),
    'Number of nodes of the job; null is `runtime.nodes`.',
    'The submitted run uses it as its `runtime.nodes`.',
    { unit: 'nodes', source: OURS },
  ),
  gpusPerNode: key(
    natural.nullable().default(null),
    'Number of GPUs on each node; null is `runtime.processesPerNode`, or 0 with `runtime.device: cpu`.',
    'Above 0, the submitted run uses it as its `runtime.processesPerNode`.',
    { unit: 'GPUs', source: OURS },
  ),
  cpusPerNode: key(
    count.nullable().default(null),
    'Number of CPU cores on each node; null is derived from ranks, threads and workers.',
    'Too few cores slow down the feeding of GPUs.',
    { unit: 'cores', source: OURS },
  ),
  memoryGB: key(
    positive.max(1e6).nullable().default(null),
    'Memory on each node; null is the default of the partition.',
    'A job that uses more is killed.',
    { unit: 'GB', source: OURS },
  ),
  timeHours: key(
    positive.max(1e5).nullable().default(null),
    'Time limit of each start of the job; null is the default of the partition.',
    'At the limit, the run saves and is requeued.',
    { unit: 'h', source: OURS },
  ),
  modules: key(
    z.array(word).default([]),
    'Environment modules that the job loads, such as `cuda/12.4`.',
    'They are loaded in this order before the first command.',
    { source: OURS },
  ),
  image: key(
    line.nullable().default(null),
    'Container image that holds freetumor and its runtime; null runs on the node itself.',
    'Slurm takes a `.sif` file or `docker://...`; Kubernetes needs an image.',
    { source: OURS },
  ),
  mounts: key(
    z.array(mounts).default([]),
    'Folders that the container sees.',
    'Data, cache and run directory must be among them.',
    { source: OURS },
  ),
  environment: key(
    z.record(variable, value).default({}),
    'Environment variables of the job; they stand in the script, so no secret belongs here.',
    'The job gets these and no other variables of your shell.',
    { source: OURS },
  ),
  environmentFile: key(
    nonEmptyText.nullable().default(null),
    'File with `NAME=value` lines that the job reads on the node, for secrets.',
    'Its values stand in no script; Kubernetes takes `cluster.kubernetes.secret` instead.',
    { path: true, source: OURS },
  ),
  check: key(
    z.boolean().default(true),
    'Check driver, network, disk and clock of the nodes before the training.',
    'The check takes some seconds of each start, and names a faulty node.',
    { source: OURS },
  ),
  slurm: key(slurm.prefault({}), 'Keys for Slurm only.', 'Kubernetes ignores them.', { source: OURS }),
  kubernetes: key(kubernetes.prefault({}), 'Keys for Kubernetes only.', 'Slurm ignores them.', {
    source: OURS,
  }),
})

/** A job of a cluster: resources, limits, container and environment. */
export type ClusterSection = DeepReadonly<z.infer<typeof clusterSection>>
