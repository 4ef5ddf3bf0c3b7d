import type { FailureCard } from '../errors.js'
import type { StopOptions } from '../stop-signals.js'
import type { RestartPolicy } from './failure.js'

/** Settings to run a user's torchrun script under supervision. */
export interface LaunchOptions extends StopOptions {
  /** A Python file, or with `module` the name of a module. It runs unchanged, as under torchrun. */
  readonly script: string
  readonly args?: readonly string[] | undefined
  readonly module?: boolean | undefined
  /** Number of ranks on this node. Default: 1. */
  readonly processesPerNode?: number | undefined
  /** Number of nodes; each makes the same call with its own `nodeRank`. Default: 1. */
  readonly nodes?: number | undefined
  readonly nodeRank?: number | undefined
  /** Rendezvous of the nodes, HOST:PORT of node 0; needed with more than one node. */
  readonly rendezvous?: string | undefined
  /** Folder for logs, events and `exit.json`. Default: `runs/<name of the script>/<id>`. */
  readonly out?: string | undefined
  /** Working directory of the script. Default: that of this process. */
  readonly cwd?: string | undefined
  /** Variables that override the script's environment, which is that of this process without those of other launchers. */
  readonly environment?: Readonly<Record<string, string>> | undefined
  /** OMP_NUM_THREADS of each process. Default: 1, as in torchrun. */
  readonly threads?: number | undefined
  /** The Python that runs the script. Default: the one that trainings use. */
  readonly python?: string | null | undefined
  /** Restarts after failures. Default: none, because the script itself must resume. */
  readonly restarts?: RestartPolicy | undefined
  /** Seconds without output or heartbeat after which the script is ended. Default: null, no limit. */
  readonly hangSeconds?: number | null | undefined
  /** A file that the script touches as its heartbeat, instead of output. FREETUMOR_HEARTBEAT holds its path. */
  readonly heartbeat?: string | null | undefined
  /** Seconds after a stop in which the script may end by itself. Default: 30. */
  readonly stopSeconds?: number | undefined
}

interface Timed {
  /** ISO 8601, UTC. */
  readonly time: string
}

/** The ranks of this node were started or restarted. */
export interface ScriptStartedEvent extends Timed {
  readonly type: 'started'
  readonly run: string
  /** From 0; each restart adds 1. FREETUMOR_ATTEMPT holds it. */
  readonly attempt: number
  readonly script: string
  readonly nodeRank: number
  readonly worldSize: number
  /** Process id of torchrun. */
  readonly pid: number
  /** Folder of the logs: `node-N/rank-R/output.log`. */
  readonly logs: string
}

/** Output of a rank, line by line. */
export interface OutputEvent extends Timed {
  readonly type: 'output'
  readonly rank: number
  readonly text: string
  /** Lines before this one that a slow reader has missed; the log has them. */
  readonly missed: number
}

/** The script failed and restarts after a backoff. */
export interface ScriptRestartEvent extends Timed {
  readonly type: 'restart'
  /** Number of the attempt that begins. */
  readonly attempt: number
  readonly afterSeconds: number
  readonly kind: FailureCard['kind']
  readonly rank: number | null
  readonly reason: string
}

export interface ScriptFinishedEvent extends Timed {
  readonly type: 'finished'
  readonly outcome: 'completed' | 'stopped' | 'failed'
  readonly reason: string
}

export type LaunchEvent = ScriptStartedEvent | OutputEvent | ScriptRestartEvent | ScriptFinishedEvent

export interface LaunchResult {
  readonly outcome: 'completed' | 'stopped'
  readonly reason: string
  readonly directory: string
  /** Number of starts. */
  readonly attempts: number
}

/** A script that has been launched. Iterate it for its events. */
export interface Launch extends AsyncIterable<LaunchEvent>, AsyncDisposable {
  readonly id: string
  readonly directory: string
  /** Rejects, as the iterator does, if the script failed and does not restart; `facts.card` has the reason. */
  readonly result: Promise<LaunchResult>
  /** Ask the script to end (SIGTERM), kill it after `stopSeconds`; resolve when no process of it is left. */
  stop(reason?: string): Promise<void>
}

/** Largest number of unread events before a reader misses the oldest lines of output. */
const MISS_ABOVE = 4096

/** Remove the oldest lines of output from the unread events of a slow reader. */
export function missOldOutput(unread: LaunchEvent[]): void {
  if (unread.length <= MISS_ABOVE) return
  const oldest = unread.findIndex(({ type }) => type === 'output')
  const next = unread.findIndex(({ type }, at) => at > oldest && type === 'output')
  if (oldest < 0 || next < 0) return
  const [gone, kept] = [unread[oldest] as OutputEvent, unread[next] as OutputEvent]
  unread[next] = { ...kept, missed: kept.missed + gone.missed + 1 }
  unread.splice(oldest, 1)
}
