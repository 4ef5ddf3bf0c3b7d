import type { FailureCard } from '../errors.js'
import type { StopOptions } from '../stop-signals.js'
import type { RestartPolicy } from './failure.js'

/** A user's own torchrun script, to be run under our supervision. */
export interface LaunchOptions extends StopOptions {
  /** A Python file, or with `module` the name of a module. Started as torchrun starts it, unchanged. */
  readonly script: string
  readonly args?: readonly string[] | undefined
  readonly module?: boolean | undefined
  /** Default 1. */
  readonly processesPerNode?: number | undefined
  /** Nodes; each makes the same call with its own `nodeRank`. Default 1. */
  readonly nodes?: number | undefined
  readonly nodeRank?: number | undefined
  /** Rendezvous of the nodes, HOST:PORT of node 0; needed with more than one node. */
  readonly rendezvous?: string | undefined
  /** Folder for logs, events and `exit.json`. Default: `runs/<name of the script>/<id>`. */
  readonly out?: string | undefined
  /** Working directory of the script; default that of this process. */
  readonly cwd?: string | undefined
  /** Laid over the environment that the script gets: this process's without what other launchers left in it. */
  readonly environment?: Readonly<Record<string, string>> | undefined
  /** OMP_NUM_THREADS of each process; default 1, as torchrun has it. */
  readonly threads?: number | undefined
  /** The Python that runs it; default the one that trainings use. */
  readonly python?: string | null | undefined
  /** Number of restarts after failures; default none, because only the script knows how to resume. */
  readonly restarts?: RestartPolicy | undefined
  /** A script without a sign of life for so long is ended; default (null) never. */
  readonly hangSeconds?: number | null | undefined
  /** A file whose touch is the sign of life, in the place of output. The script finds its path in FREETUMOR_HEARTBEAT. */
  readonly heartbeat?: string | null | undefined
  /** After a stop, what the script has to end by itself; default 30. */
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
  /** From 0; each restart adds 1. The script finds it in FREETUMOR_ATTEMPT. */
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

/** The script failed and is begun again after a pause. */
export interface ScriptRestartEvent extends Timed {
  readonly type: 'restart'
  /** The one that begins. */
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
  /** Rejects, as the iterator does, when the script failed and is not begun again; `facts.card` says why. */
  readonly result: Promise<LaunchResult>
  /** Asks the script to end (SIGTERM), ends it after `stopSeconds`; resolves when nothing of it is left. */
  stop(reason?: string): Promise<void>
}

/** Past this many unread events a reader misses the oldest lines of output. */
const MISS_ABOVE = 4096

/** Makes room among the unread events of a slow reader. */
export function missOldOutput(unread: LaunchEvent[]): void {
  if (unread.length <= MISS_ABOVE) return
  const oldest = unread.findIndex(({ type }) => type === 'output')
  const next = unread.findIndex(({ type }, at) => at > oldest && type === 'output')
  if (oldest < 0 || next < 0) return
  const [gone, kept] = [unread[oldest] as OutputEvent, unread[next] as OutputEvent]
  unread[next] = { ...kept, missed: kept.missed + gone.missed + 1 }
  unread.splice(oldest, 1)
}
