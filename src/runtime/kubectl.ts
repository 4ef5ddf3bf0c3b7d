import { type ExecFileException, execFile } from 'node:child_process'
import { EnvironmentError } from '../errors.js'
import type { Kubectl } from '../pipeline/ports/kubectl.js'
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
