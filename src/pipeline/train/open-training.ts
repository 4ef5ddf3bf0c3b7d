import type { RunConfig } from '../../config/schema.js'
import type { RunJournal } from '../../training/journal.js'
import type { Ownership } from '../../training/owner.js'
import type { TrainOptions } from '../../training/run.js'
import type { NodePlace } from '../ports/common.js'
import type { ModelRuntime } from '../ports/runtime.js'
import type { CommandQueue } from './commands.js'
import type { Progress } from './progress.js'

/** State of a run with an open directory, which the functions of a training share. */
export interface OpenTraining {
  readonly id: string
  readonly directory: string
  readonly config: RunConfig
  readonly runtime: ModelRuntime
  readonly options: TrainOptions
  /** Null for a single node. */
  readonly place: NodePlace | null
  /** Null on every node but node 0. */
  readonly owner: Ownership | null
  readonly journal: RunJournal
  readonly commands: CommandQueue
  readonly progress: Progress
  /** Aborted by a requested stop. */
  readonly signal: AbortSignal
}
