import { styleText } from 'node:util'
import { cardOf, FreetumorError } from '../errors.js'
import { lineOfOutput } from '../plain-text.js'
import type { TerminalLike } from '../report/console.js'
import { type JsonLines, type JsonOutputs, SCHEMA_VERSION } from './json-outputs.js'

/** Format of a result: text for people, one JSON document, or one JSON object per line (streams). */
export type OutputFormat = 'text' | 'json' | 'ndjson'

/** Environment of a command. Data go to `print`, messages to `note`; no command asks questions. */
export interface CliIo {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Write data to stdout; a newline is added. */
  print(text: string): void
  /** Write messages (progress, warnings, errors) to stderr; a newline is added. */
  note(text: string): void
  /** Stream for progress lines that overwrite themselves: stderr. */
  readonly terminal: TerminalLike
  /** Set the exit code of a command that throws nothing (doctor, `data check`). */
  exitWith(code: number): void
  /** End the process when its reader closes, although it handles the stop signals (`runs attach`). */
  endWithReader(): void
  /**
   * Aborts at Ctrl-C, SIGTERM, SIGHUP or SIGUSR2. The first use installs the handlers: a second signal ends the process at once,
   * and output without a reader is discarded. Without a use, the signals end the process by default.
   */
  readonly signal: AbortSignal
  /** True if stderr is a terminal and NO_COLOR is not set. */
  readonly color: boolean
}

/**
 * Print a result: as a JSON document with its `schemaVersion` (dist/outputs.schema.json), or as lines of text. A line feed in
 * a name is escaped, so that no name starts a line.
 */
export function printResult<C extends keyof JsonOutputs>(
  io: CliIo,
  _command: C,
  format: OutputFormat,
  value: JsonOutputs[C],
  text: () => readonly string[],
): void {
  if (format === 'text') io.print(text().map(lineOfOutput).join('\n'))
  else printJson(io, format, versioned(value))
}

/** Add `schemaVersion` to a document. */
export function versioned<T extends object>(document: T): T & { readonly schemaVersion: number } {
  return { schemaVersion: SCHEMA_VERSION, ...document }
}

/** Print a JSON document that states no version, such as a configuration. */
export function printJson(io: CliIo, format: OutputFormat, value: unknown): void {
  io.print(JSON.stringify(value, null, format === 'json' ? 2 : undefined))
}

/** Print an event or a result of a command as one line of JSON. */
export function printLine<C extends keyof JsonLines>(io: CliIo, _command: C, line: JsonLines[C]): void {
  io.print(JSON.stringify(line))
}

/** Colour a word of a message if colours are allowed. */
export function paint(io: CliIo, color: 'red' | 'green' | 'yellow' | 'dim', text: string): string {
  return io.color ? styleText(color, text) : text
}

/** Return the last log lines of the rank that failed, if the error has a failure card (`failure.json` of the run). */
function cardLines(error: FreetumorError): string[] {
  const card = cardOf(error)
  if (card === null) return []
  const lines = (card.traceback.trim() || card.lastLines.join('\n')).split('\n').slice(-8)
  const of = card.rank === null ? 'the launcher' : `rank ${card.rank}`
  return [`last lines of ${of} (all logs: ${card.logs}):`, ...lines.map((line) => `  | ${line}`)]
}

/** Write an error and its hint to stderr. `FREETUMOR_DEBUG=1` adds the stack. */
export function noteError(io: CliIo, error: unknown): void {
  if (error instanceof FreetumorError) {
    io.note(`${paint(io, 'red', 'error:')} ${error.message}`)
    if (error.commandHint) io.note(`hint: ${error.commandHint}`)
    for (const line of cardLines(error)) io.note(line)
  } else {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    io.note(`${paint(io, 'red', 'error:')} ${message.split('\n')[0]}`)
    io.note('hint: this is a bug in freetumor; FREETUMOR_DEBUG=1 prints the stack')
  }
  if (io.env.FREETUMOR_DEBUG === '1' && error instanceof Error) io.note(error.stack ?? '')
}
