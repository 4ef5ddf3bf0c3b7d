import type { Run, RunStatus } from '../../training/run.js'
import type { Holder } from './common.js'
import type { QueueState } from './scheduler.js'

/** Processes that train or hold runs. */
export interface RunProcesses {
  /** Return the status of the run in a directory; null if no process answers. */
  status(directory: string): Promise<RunStatus | null>
  /** Return the states of jobs of a cluster. @throws EnvironmentError if the scheduler does not answer */
  jobs(ids: readonly string[]): Promise<ReadonlyMap<string, QueueState>>
  /** Return the processes that hold the locks of directories. */
  holders(directories: readonly string[]): Promise<ReadonlyMap<string, Holder>>
}

/** Commands to a run of another process; each resolves with the step at which it takes effect. */
export interface RunControl
  extends Pick<Run, 'setLearningRate' | 'pause' | 'unpause' | 'checkpoint' | 'stop'> {
  close(): void
}

/** Processes that train runs, with the way to control them. */
export interface ControlledProcesses extends RunProcesses {
  /** Return the run that a process trains in a directory; null if none answers. */
  connect(directory: string): Promise<RunControl | null>
}
