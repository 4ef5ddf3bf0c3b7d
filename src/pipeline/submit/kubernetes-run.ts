import { stat } from 'node:fs/promises'
import { mountOf } from '../../cluster/pod.js'
import { UsageError } from '../../errors.js'
import type { JobKind } from '../../training/events.js'
import { type RunSummary, summariseRun } from '../../training/run-summary.js'
import type { Kubectl } from '../ports/kubectl.js'
import type { ControlledProcesses } from '../ports/runs.js'
import type { QueueState } from '../ports/scheduler.js'
import { followJob } from '../runs/follow.js'
import type { KnownJob } from '../runs/job-state.js'
import type { PlannedManifests } from './kubernetes.js'
import { handleOf, type SubmittedRun } from './submitted-run.js'

/**
 * Return the handle of a training that Kubernetes runs. Its members read the run directory, so the claim must be mounted on
 * this machine at the same path; otherwise each one throws a UsageError.
 */
export function runOnKubernetes(
  { job, id, notes }: PlannedManifests,
  kind: JobKind,
  kubectl: Kubectl,
  processes: ControlledProcesses,
): SubmittedRun {
  const { directory, cluster, name } = job
  const { namespace } = cluster.kubernetes
  const claim = mountOf(directory, cluster.mounts)
  const ready = async (): Promise<void> => {
    const found = await stat(claim?.target ?? directory).catch(() => null)
    if (!found?.isDirectory()) throw notHere()
  }
  const notHere = (): UsageError =>
    new UsageError(
      `${directory}: not on this machine (expected claim ${claim?.source} mounted at ${claim?.target})`,
      { hint: `mount the claim there, or use \`kubectl get ${id}\` and \`kubectl logs\`` },
    )
  const queueState = (): Promise<QueueState> => kubectl.state(id, namespace)

  async function summary(): Promise<RunSummary> {
    await ready()
    // a cluster that does not answer ends no run
    const state = await queueState().catch((error: unknown) => String((error as Error).message))
    const status = await processes.status(directory)
    const [holder, queue] =
      typeof state === 'string' ? [state, null] : [null, { scheduler: 'kubernetes', id, ...state } as const]
    const found = await summariseRun(directory, { name, job: kind }, status, holder, undefined, queue)
    // the run is complete, and wrote its files elsewhere
    if (found.queue?.state === 'completed' && found.begun === null) throw notHere()
    return found
  }

  const known: KnownJob = {
    open: [id],
    state: (states) => ({ scheduler: 'kubernetes', id, ...states.get(id)! }),
  }
  return handleOf(
    { id, directory },
    {
      async *events() {
        await ready()
        yield* followJob(directory, async () => known, {
          jobs: async () => new Map([[id, await queueState()]]),
        })
      },
      async connect() {
        await ready()
        return await processes.connect(directory)
      },
      summary,
      cancel: () => kubectl.remove(id, namespace),
    },
    notes,
  )
}
