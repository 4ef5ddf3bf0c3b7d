import type { RunStatus } from '../../training/run.js'
import type { Holder } from './common.js'

/** Processes that train or hold runs. */
export interface RunProcesses {
  /** Return the status of the run in a directory; null if no process answers. */
  status(directory: string): Promise<RunStatus | null>
  /** Return the processes that hold the locks of directories. */
  holders(directories: readonly string[]): Promise<ReadonlyMap<string, Holder>>
}
