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

/** Why the processes of a job failed; `failure.json` of a run. */
export interface FailureCard {
  /**
   * `exception`: a rank raised it. `signal`: a process or the kernel killed a rank. `outOfMemory`: of the machine or of a GPU.
   * `hang`: no progress within `runtime.hangSeconds`. `lostConnection`: ranks lost each other, and no rank states a cause.
   */
  readonly kind: 'exception' | 'signal' | 'outOfMemory' | 'hang' | 'lostConnection'
  /** The rank that failed first by itself; null if no rank is known. */
  readonly rank: number | null
  readonly message: string
  readonly hint: string
  readonly signal: string | null
  /** Exit code of the launcher; it is 1 for every failure. */
  readonly exitCode: number | null
  /** Traceback of that rank. */
  readonly traceback: string
  /** Last lines of the rank's log, else of the launcher's. */
  readonly lastLines: readonly string[]
  /** Folder of all logs. */
  readonly logs: string
  /** ISO 8601. */
  readonly time: string
}

export interface ErrorDetails {
  /** One command or edit that fixes the fault, with options as on the command line (`--out`). */
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
  /** One command or edit that fixes the fault, with options as on the command line (`--accept-changes`). */
  readonly commandHint: string | undefined
  readonly facts: Readonly<Record<string, unknown>>

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.commandHint = details.hint
    this.facts = details.facts ?? {}
  }

  /** One command or edit that fixes the fault, with options as in the API (`acceptChanges`). */
  get hint(): string | undefined {
    return this.commandHint === undefined ? undefined : withOptionNames(this.commandHint)
  }

  /** Root cause of a failed job, with the rank and its last lines; null for other errors. */
  get card(): FailureCard | null {
    return (this.facts.card as FailureCard | undefined) ?? null
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

/** A plug-in ended, did not answer in time, or broke its protocol (docs/plugins.md). Correct the plug-in. */
export class PluginError extends FreetumorError {
  readonly code = 'plugin'
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

/** Return the card of a failed job if the error has one. */
export function cardOf(error: unknown): FailureCard | null {
  return error instanceof FreetumorError ? error.card : null
}

/** Write the flags of a hint as options of the API: `--accept-changes` as `acceptChanges`. Whole commands stay as they are. */
function withOptionNames(hint: string): string {
  return hint
    .split(/(`(?:npx )?freetumor[^`]*`)/)
    .map((part, at) => (at % 2 === 1 ? part : part.replace(/--([a-z]+(?:-[a-z]+)*)/g, optionName)))
    .join('')
}

function optionName(_flag: string, name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
