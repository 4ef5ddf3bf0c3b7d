import type { Scheduler } from '../../cluster/job.js'
import type { QueuedJob } from '../../training/run-summary.js'

/** State of a job in the queue of its scheduler. */
export type QueueState = Omit<QueuedJob, 'scheduler' | 'id'>

/** Limits of a partition and of the scheduler; null where it does not state one. */
export interface QueueLimits {
  readonly maxHours: number | null
  readonly maxNodes: number | null
  readonly maxArraySize: number | null
  /** Number of jobs that this user may have submitted at once; each task counts. */
  readonly maxSubmitJobs: number | null
  /** Jobs of this user in the queue. */
  readonly submittedJobs: number
  /** Jobs of all users that the scheduler still accepts. */
  readonly freeJobs: number | null
}

/** Jobs before a job. */
export interface JobOrder {
  readonly ids: readonly string[]
  /** `completed`: if one fails, the job is cancelled. `ended`: the job starts in any case. */
  readonly until: 'completed' | 'ended'
}

/** A scheduler of a cluster. */
export interface JobScheduler {
  readonly kind: Scheduler
  /**
   * Submit a job and return its id.
   * @param after jobs that must end first
   * @throws EnvironmentError with the words of the scheduler if it refuses the job
   */
  submit(file: string, after: JobOrder | null): Promise<string>
  /** Return the states of jobs; one that the scheduler has forgotten is `unknown`. */
  states(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>
  /** Cancel jobs: running ones are asked to stop, and are not requeued. */
  cancel(...ids: readonly string[]): Promise<void>
  limits(partition: string | null): Promise<QueueLimits>
}
