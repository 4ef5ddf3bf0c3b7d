/** Exit codes of the command line; a library user reads them from `FreetumorError.exitCode`. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  data: 3,
  environment: 4,
  runtime: 5,
  leak: 6,
  stopped: 75,
  /** Stopped, and there is nothing to resume; 143 where SIGTERM did it. */
  interrupted: 130,
} as const

export interface ErrorDetails {
  /** What to do about it, one sentence. Shown after the message. */
  readonly hint?: string
  /** Machine-readable facts (file, key, case, rank ...). Never patient text. */
  readonly facts?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/**
 * Base of every error that freetumor throws on purpose. The message names the file, key or case and says
 * what was expected; `hint` says what to do; `code` is stable for programs.
 */
export abstract class FreetumorError extends Error {
  abstract readonly code: string
  abstract readonly exitCode: number
  readonly hint: string | undefined
  readonly facts: Readonly<Record<string, unknown>>

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.hint = details.hint
    this.facts = details.facts ?? {}
  }

  toJSON(): Record<string, unknown> {
    return { code: this.code, message: this.message, hint: this.hint, ...this.facts }
  }
}

/** A command line or an API call that cannot be understood. Correct the call. */
export class UsageError extends FreetumorError {
  readonly code = 'usage'
  readonly exitCode = EXIT.usage
}

/** A configuration that does not hold: unknown key, wrong value, parts that do not fit. Correct the file. */
export class ConfigError extends FreetumorError {
  readonly code = 'config'
  readonly exitCode = EXIT.usage
}

/** Input data that is missing, damaged or inconsistent. Correct or remove the file that is named. */
export class DataError extends FreetumorError {
  readonly code = 'data'
  readonly exitCode = EXIT.data
}

/** The machine lacks something: Python, a package, a device, disk space. `freetumor doctor` tells more. */
export class EnvironmentError extends FreetumorError {
  readonly code = 'environment'
  readonly exitCode = EXIT.environment
}

/** A checkpoint that is damaged, hostile, or of another network than the one asked for. */
export class CheckpointError extends FreetumorError {
  readonly code = 'checkpoint'
  readonly exitCode = EXIT.usage
}

/** The Python runtime died or broke the protocol. The message carries its own reason. */
export class RuntimeCrashError extends FreetumorError {
  readonly code = 'runtime'
  readonly exitCode = EXIT.runtime
}

/** A held-out case is among the training cases. Remove it or state in the config why it may stay. */
export class LeakError extends FreetumorError {
  readonly code = 'leak'
  readonly exitCode = EXIT.leak
}

/** The work was stopped on request (signal, AbortSignal, `stop`); what can be resumed was saved. */
export class StoppedError extends FreetumorError {
  readonly code = 'stopped'

  /** @param resumable false where the same call starts again from the beginning (an evaluation) */
  constructor(
    message: string,
    details: ErrorDetails = {},
    readonly resumable = true,
  ) {
    super(message, details)
  }

  get exitCode(): number {
    return this.resumable ? EXIT.stopped : EXIT.interrupted
  }
}

/** Another process took the run over while this one was suspended or cut off. This process writes nothing more into it. */
export class SupersededError extends FreetumorError {
  readonly code = 'superseded'
  readonly exitCode = EXIT.failure
}

/** What the system's error codes mean for somebody who runs a command, and what to do. */
const SYSTEM_ERRORS: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ['the disk is full', 'free space on that disk'],
  EDQUOT: ['the disk quota is exceeded', 'free space within your quota'],
  EFBIG: ['the file would exceed the size limit', 'raise the limit: `ulimit -f unlimited`'],
  EROFS: ['the file system is read-only', 'choose a folder on a writable disk'],
  EACCES: ['permission denied', 'correct its permissions, or choose another folder'],
  EPERM: ['permission denied', 'correct its permissions, or choose another folder'],
  EMFILE: ['this process has too many open files', 'raise the limit: `ulimit -n 4096`'],
  ENFILE: ['the machine has too many open files', 'close other programs, or raise fs.file-max'],
  EIO: ['the disk reports an input/output error', 'check the disk and its cables'],
  ESTALE: ['the network file system lost the file', 'mount it again'],
  ENOENT: ['a folder of its path does not exist', 'is the folder there, and may it be written?'],
  ENOTDIR: ['a part of its path is a file', 'is the folder there, and may it be written?'],
  EISDIR: ['it is a folder', 'remove the folder, or choose another name'],
  ENOTEMPTY: ['the folder is not empty', 'is another process at work in it?'],
  EEXIST: ['it exists', 'remove it, or choose another name'],
  ENAMETOOLONG: ['its name is too long', 'choose a shorter path'],
  ELOOP: ['its path has too many symbolic links', 'correct the links'],
  EAGAIN: ['the machine has no process left for it', 'raise the limit: `ulimit -u`'],
  ENOMEM: ['the machine has no memory left for it', 'close other programs'],
}

/**
 * An error of the operating system as an EnvironmentError that says what failed and why; any other error unchanged.
 * @param path what was to be written; default the path that the error names
 */
export function typedSystemError(error: unknown, path?: string): unknown {
  if (error instanceof FreetumorError || !(error instanceof Error)) return error
  const { code, path: named, syscall } = error as NodeJS.ErrnoException
  const known = code === undefined ? undefined : SYSTEM_ERRORS[code]
  if (code === undefined || known === undefined) return error
  const [reason, hint] = known
  const where = path ?? named
  const reads =
    path === undefined && /^(read|scandir|stat|lstat|access|realpath|readlink)$/.test(syscall ?? '')
  const verb = reads ? 'read' : 'written'
  const what =
    where === undefined ? `${syscall ?? 'a call of the system'} failed` : `${where}: cannot be ${verb}`
  return new EnvironmentError(`${what} (${reason}, ${code})`, { hint, cause: error })
}
