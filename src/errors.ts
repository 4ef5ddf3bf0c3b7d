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
  /** Stopped with nothing to resume; 143 after SIGTERM. */
  interrupted: 130,
} as const

export interface ErrorDetails {
  /** One command or edit that fixes the fault. Shown after the message. */
  readonly hint?: string
  /** Machine-readable facts (file, key, case, rank ...). Never patient text. */
  readonly facts?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/**
 * Base of every error that freetumor throws on purpose. The message names the file, key or case, what was expected
 * and what was found. `hint` names the fix. `code` is stable for programs.
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

/** The command line or the API call is wrong. Correct the call. */
export class UsageError extends FreetumorError {
  readonly code = 'usage'
  readonly exitCode = EXIT.usage
}

/** The configuration is wrong: unknown key, wrong value, parts that contradict each other. Correct the file. */
export class ConfigError extends FreetumorError {
  readonly code = 'config'
  readonly exitCode = EXIT.usage
}

/** Input data is missing, damaged or inconsistent. Correct or remove the named file. */
export class DataError extends FreetumorError {
  readonly code = 'data'
  readonly exitCode = EXIT.data
}

/** The machine lacks something: Python, a package, a device, disk space. Run `freetumor doctor`. */
export class EnvironmentError extends FreetumorError {
  readonly code = 'environment'
  readonly exitCode = EXIT.environment
}

/** The checkpoint is damaged, hostile, or holds another network than expected. */
export class CheckpointError extends FreetumorError {
  readonly code = 'checkpoint'
  readonly exitCode = EXIT.usage
}

/** The Python runtime crashed or broke the protocol. The message holds the runtime's own reason. */
export class RuntimeCrashError extends FreetumorError {
  readonly code = 'runtime'
  readonly exitCode = EXIT.runtime
}

/** A held-out case is among the training cases. Remove the case, or accept the leak in the configuration. */
export class LeakError extends FreetumorError {
  readonly code = 'leak'
  readonly exitCode = EXIT.leak
}

/** The work was stopped on request (signal, AbortSignal, `stop`). Resumable work was saved. */
export class StoppedError extends FreetumorError {
  readonly code = 'stopped'

  /** @param resumable false if the same call starts again from the beginning, such as an evaluation */
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

/** Another process took over the run while this one was suspended or disconnected. This process stops writing. */
export class SupersededError extends FreetumorError {
  readonly code = 'superseded'
  readonly exitCode = EXIT.failure
}
