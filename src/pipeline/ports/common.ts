import type { UsageError } from '../../errors.js'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Folder for the logs of the processes. */
  readonly logDirectory: string
  /** Called with what a user is to know of the job and no result says; a training has `note` events instead. */
  readonly note?: ((text: string, level: 'info' | 'warning') => void) | undefined
  /** A training without a sign for so long is ended; default never. */
  readonly hangSeconds?: number | null | undefined
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

/** A case that did not work out carries the error instead of a result. */
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

/** A folder that no other process writes to while this is not disposed. */
export interface DirectoryLock extends AsyncDisposable {
  /** False on a file system without locks: another process may get in. */
  readonly enforced: boolean
}

/** Who holds a folder, as far as it is known. */
export interface Holder {
  readonly pid: number | null
  readonly host: string | null
}

/** Purpose of a lock: its words in the refusal of a second process. */
export interface LockedWork {
  refusal(directory: string, holder: Holder): UsageError
}
