import type { DirectoryLock, LockedWork } from './common.js'

/** Runner of scripts for `launch`; src/runtime/script.ts implements it with torchrun. */
export interface ScriptRunner {
  /**
   * Start the ranks of one attempt.
   * @throws EnvironmentError if there is no Python to start
   */
  start(spec: ScriptSpec): Promise<ScriptAttempt>
  /** Return whether a rank of an earlier launch began to run its script: its log is in this folder. */
  hasBegun(logDirectory: string): Promise<boolean>
  /** Lock a folder as `ModelRuntime.lock` does, with the script's Python. */
  lock(directory: string, work: LockedWork, python: string | null): Promise<DirectoryLock>
}

export interface ScriptSpec {
  readonly runId: string
  readonly attempt: number
  readonly script: string
  readonly args: readonly string[]
  readonly module: boolean
  readonly processesPerNode: number
  readonly nodes: number
  readonly nodeRank: number
  readonly rendezvous: string | null
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  readonly threads: number
  readonly python: string | null
  readonly hangSeconds: number | null
  readonly heartbeat: string | null
  readonly stopSeconds: number
  readonly logDirectory: string
  onOutput(rank: number, text: string): void
}

export interface ScriptAttempt {
  readonly pid: number
  /** Resolves when every rank of this node succeeded; rejects with the error that ended them. No process is left then. */
  readonly ended: Promise<void>
  /** Ask the ranks to end, then end them; `ended` resolves or rejects afterwards. */
  stop(): void
}
