import type { Scheduler } from '../../cluster/job.js'
import type { QueuedJob } from '../../training/run-summary.js'

/** State of a job in the queue of its scheduler. */
export type QueueState = Omit<QueuedJob, 'scheduler' | 'id'>

/** Limits of a partition and of the scheduler; null where it does not state one. */
export interface QueueLimits {
  readonly maxHours: number | null
  readonly maxNodes: number | null
  readonly maxArraySize: number | null
  /** Number of jobs that this user may have submitted at once. */
  readonly maxSubmitJobs: number | null
}

/** A scheduler of a cluster. */
export interface JobScheduler {
  readonly kind: Scheduler
  /**
   * Submit a job and return its id.
   * @param after id of a job that must complete first; if it fails, this one is cancelled
   * @throws EnvironmentError with the words of the scheduler if it refuses the job
   */
  submit(file: string, after: string | null): Promise<string>
  /** Return the states of jobs; one that the scheduler has forgotten is `unknown`. */
  states(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>
  /** Cancel a job: a running one is asked to stop, and is not requeued. */
  cancel(id: string): Promise<void>
  limits(partition: string | null): Promise<QueueLimits>
}
