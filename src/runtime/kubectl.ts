import { type ExecFileException, execFile } from 'node:child_process'
import { z } from 'zod'
import { EnvironmentError } from '../errors.js'
import type { Kubectl } from '../pipeline/ports/kubectl.js'
import type { QueueState } from '../pipeline/ports/scheduler.js'
import { oneLine } from '../plain-text.js'

/** Sends manifests with the `kubectl` of PATH, to the cluster of its current context. */
export const kubectl: Kubectl = {
  async exists(object, namespace) {
    const output = await call(
      ['get', object, '--ignore-not-found', '--output=name', ...inside(namespace)],
      '',
    )
    return output.trim() !== ''
  },

  async create(text, namespace) {
    try {
      // of an earlier job, only the TrainJob may be deleted: `apply` updates what remains. Without --server-side, it would
      // copy the ConfigMap into an annotation, which has a limit of 256 KiB
      await call(['apply', '--server-side', '--filename=-', ...inside(namespace)], text)
    } catch (error) {
      const undo = ['delete', '--ignore-not-found', '--wait=false', '--filename=-', ...inside(namespace)]
      await call(undo, text).catch(() => {})
      throw error
    }
  },

  async state(trainJob, namespace) {
    const found = ['get', trainJob, '--ignore-not-found', '--output=json', ...inside(namespace)]
    const output = await call(found, '')
    return output.trim() === '' ? DELETED : stateOf(trainJob, output)
  },

  async remove(object, namespace) {
    // in the foreground: the object remains in the cluster while its pods save
    const order = ['delete', object, '--ignore-not-found', '--cascade=foreground', '--wait=false']
    await call([...order, ...inside(namespace)], '')
  },
}

const DELETED: QueueState = {
  state: 'stopped',
  reason: 'deleted from the cluster',
  restarts: 0,
  ended: true,
}

/** The part of a TrainJob of Kubeflow Trainer 2 that states how far it is. */
const trainJobAnswer = z.object({
  metadata: z.object({ deletionTimestamp: z.string().optional() }),
  status: z
    .object({
      conditions: z
        .array(z.object({ type: z.string(), status: z.string(), message: z.string().optional() }))
        .optional(),
      jobsStatus: z.array(z.object({ ready: z.number().optional() })).optional(),
    })
    .optional(),
})

/** @throws EnvironmentError if the text describes no TrainJob */
function stateOf(trainJob: string, text: string): QueueState {
  const { metadata, status } = readTrainJob(trainJob, text)
  const condition = (type: string): { reason: string | null } | null => {
    const found = status?.conditions?.find((one) => one.type === type && one.status === 'True')
    return found === undefined ? null : { reason: oneLine((found.message ?? '').slice(0, 400)) || null }
  }
  const [complete, failed, suspended] = ['Complete', 'Failed', 'Suspended'].map(condition)
  if (complete) return { state: 'completed', reason: null, restarts: 0, ended: true }
  if (failed) return { state: 'failed', ...failed, restarts: 0, ended: true }
  const open = { restarts: 0, ended: false }
  if (metadata.deletionTimestamp !== undefined) return { state: 'deleting', reason: 'being deleted', ...open }
  if (suspended) return { state: 'pending', ...suspended, ...open }
  const isRunning = status?.jobsStatus?.some(({ ready = 0 }) => ready > 0) ?? false
  return { state: isRunning ? 'running' : 'pending', reason: null, ...open }
}

function readTrainJob(trainJob: string, text: string): z.infer<typeof trainJobAnswer> {
  try {
    return trainJobAnswer.parse(JSON.parse(text))
  } catch (error) {
    throw new EnvironmentError(
      `${PROGRAM}: unexpected answer (expected ${trainJob} in JSON, found ${oneLine(text.slice(0, 200))})`,
      { hint: `inspect it with \`kubectl get ${trainJob} --output=json\``, cause: error },
    )
  }
}

function inside(namespace: string | null): string[] {
  return namespace === null ? [] : [`--namespace=${namespace}`]
}

const PROGRAM = 'kubectl'
const REQUEST_WITHIN = '--request-timeout=30s'
const ANSWER_WITHIN_MS = 120_000
const MAX_OUTPUT_BYTES = 1024 * 1024

/** @throws EnvironmentError with the reason in one line */
function call(args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: MAX_OUTPUT_BYTES, timeout: ANSWER_WITHIN_MS }
    const child = execFile(PROGRAM, [...args, REQUEST_WITHIN], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(failureOf(error, stderr))
    })
    // a program that does not read its input closes the pipe
    child.stdin?.on('error', () => {}).end(input)
  })
}

function failureOf(error: ExecFileException, stderr: string): EnvironmentError {
  if (error.code === 'ENOENT')
    return new EnvironmentError(`${PROGRAM}: program not found`, {
      hint: 'install kubectl, or print the manifests with --dry-run',
      cause: error,
    })
  const lines = stderr.trim().split('\n')
  const words = oneLine((lines.at(-1) ?? '').replace(/^(error|Error from server[^:]*): /, '').slice(0, 400))
  const kind = /resource type "(\w+)"|no matches for kind "(\w+)"/.exec(stderr)
  if (kind !== null)
    return new EnvironmentError(
      `${PROGRAM}: the cluster does not support ${kind[1] ?? kind[2]} (expected Kubeflow Trainer 2.2 or newer)`,
      { hint: 'ask the administrator of the cluster to install Kubeflow Trainer', cause: error },
    )
  if (error.killed || UNREACHABLE.test(stderr))
    return new EnvironmentError(
      `${PROGRAM}: no cluster answers (expected an API server, found: ${words || 'no answer'})`,
      { hint: '`kubectl config get-contexts` lists the clusters; --dry-run needs none', cause: error },
    )
  return new EnvironmentError(`${PROGRAM}: ${words || error.message}`, {
    hint: 'correct `cluster:` of the configuration',
    cause: error,
  })
}

const UNREACHABLE =
  /was refused|connection refused|Unable to connect|no such host|i\/o timeout|failed to download openapi|current server API group list|no configuration has been provided|Username: /
