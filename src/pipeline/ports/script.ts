import type { DirectoryLock, LockedWork } from './common.js'

/** Runner of scripts for `launch`; src/runtime/script.ts implements it with torchrun. */
export interface ScriptRunner {
  /**
   * Starts the ranks of one attempt.
   * @throws EnvironmentError when there is no Python to start
   */
  start(spec: ScriptSpec): Promise<ScriptAttempt>
  /** Return whether a rank of an earlier launch began to run its script: its log is in this folder. */
  hasBegun(logDirectory: string): Promise<boolean>
  /** As `ModelRuntime.lock`, by the script's Python. */
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
  /** Resolves when every rank of this node ended well; rejects with what ended them. Nothing is left then either way. */
  readonly ended: Promise<void>
  /** Asks the ranks to end, then ends them; `ended` tells when it is done. */
  stop(): void
}
