import type { UsageError } from '../../errors.js'
import type { PluginSpec } from './plugin.js'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Folder for the logs of the processes. */
  readonly logDirectory: string
  /** Called with messages for the user that no result contains. A training has `note` events instead. */
  readonly note?: ((text: string, level: 'info' | 'warning') => void) | undefined
  /** Called every few seconds within a long case with the number of its sliding windows that are done, of all. */
  readonly windows?: ((caseId: string, done: number, total: number) => void) | undefined
  /** Seconds without an event after which a training is ended. Default: no limit. */
  readonly hangSeconds?: number | null | undefined
  /** Measure the stages of the steps of a training. Default: false. */
  readonly profile?: boolean | undefined
  /** Place among several nodes that train together. Default: a single node. */
  readonly place?: NodePlace | undefined
}

export interface InspectOptions extends Pick<CallOptions, 'signal'> {
  /** Name of one of several sets of weights in the file; null or undefined: the only one. */
  readonly weights?: string | null | undefined
}

/** Rank of this node among several, and their rendezvous. */
export interface NodePlace {
  readonly nodes: number
  /** From 0. */
  readonly nodeRank: number
  /** HOST:PORT, on node 0. */
  readonly rendezvous: string
}

/** A case that failed carries the error instead of a result. */
export type CaseOutcome<T> =
  | { readonly caseId: string; readonly result: T }
  | { readonly caseId: string; readonly error: CaseError }

export interface CaseError {
  readonly kind: string
  readonly message: string
  readonly hint: string
}

export interface SlidingWindowsSpec {
  readonly overlap: number
  readonly blend: 'constant' | 'gaussian'
  readonly windowBatch: number
}

/** Lock of a folder: no other process writes to it until the lock is disposed, except for those that share it. */
export interface DirectoryLock extends AsyncDisposable {
  /** False on a file system without locks: another process may write too. */
  readonly enforced: boolean
}

/** Process that holds a folder, as far as it is recorded. */
export interface Holder {
  readonly pid: number | null
  readonly host: string | null
}

/** Purpose of a lock: the error that refuses a second process. */
export interface LockedWork {
  /** True: other processes may share the lock, and none has it alone. Default: false. */
  readonly shared?: boolean
  refusal(directory: string, holder: Holder): UsageError
}

/** The frozen segmentor that judges synthetic tumors. */
export interface BaselineSpec {
  /** Null with a plug-in. */
  readonly checkpoint: string | null
  readonly patchMerging: string | null
  /** Name of one of several sets of weights in the file; null: the only one. */
  readonly weights: string | null
  readonly plugin: PluginSpec | null
}
