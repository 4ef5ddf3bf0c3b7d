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
