import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { EXIT, FreetumorError, StoppedError, UsageError } from '../errors.js'
import { refusePnp } from '../runtime/pnp.js'
import { exitCodeOf as exitCodeOfSignal, isAbort, type StopSignal } from '../stop-signals.js'
import { typedSystemError } from '../system-errors.js'
import { type CliIo, noteError, type OutputFormat } from './output.js'

/** Adds one command to the program; each file of `commands/` exports one. */
export type AddCommand = (program: Command, io: CliIo) => void

export interface ProgramIo extends CliIo {
  /** The code asked for with `exitWith`; 0 when nothing was. */
  readonly exitCode: number
  /** The signal that aborted `signal`, if one did. */
  readonly interruptedBy: StopSignal | undefined
}

/** Runs one command line (`argv` without node and script) and returns its exit code; throws nothing. */
export async function runProgram(
  commands: readonly AddCommand[],
  argv: readonly string[],
  io: ProgramIo,
): Promise<number> {
  try {
    await makeProgram(commands, io).parseAsync(argv, { from: 'user' })
    return io.exitCode
  } catch (error) {
    return exitCodeOf(error, io)
  }
}

/** The `--output` option; streams may add `ndjson`. The value arrives in the action's options as `output`. */
export function outputOption(formats: readonly OutputFormat[] = ['text', 'json']): Option {
  return new Option('--output <format>', 'Set the format of the result').choices(formats).default('text')
}

/** The `--region` option of commands that read label maps. */
export function regionOption(): Option {
  return new Option('--region <region>', 'Set the region whose label ids are meant').choices([
    'abdomen',
    'chest',
  ])
}

/** Puts examples (full command lines) above everything else in `--help`. */
export function withExample(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length > 1 ? 'Examples:' : 'Example:'
  return command.addHelpText('before', [title, ...examples.map((line) => `  $ ${line}`), ''].join('\n'))
}

/** Return the program with its commands. */
export function makeProgram(commands: readonly AddCommand[], io: ProgramIo): Command {
  const program = new Command('freetumor')
    .description('Train tumor segmentation on real and synthetic tumors in CT scans.')
    .version(packageVersion(), '-V, --version', 'Print the version')
    .showHelpAfterError(false)
  withExample(program, 'freetumor setup', 'freetumor demo --out demo')
  // doctor reports it beside what else it finds
  program.hook('preAction', (_, action) => {
    if (action.name() !== 'doctor') refusePnp()
  })
  for (const add of commands) add(program, io)
  for (const command of withDescendants(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => io.print(text.trimEnd()),
      writeErr: (text) => {
        for (const line of text.trimEnd().split('\n')) io.note(line)
      },
      outputError: () => {}, // said by exitCodeOf, in the form of every other error
    })
  }
  return program
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)]
}

function exitCodeOf(error: unknown, io: ProgramIo): number {
  if (error instanceof CommanderError) return usageExit(error, io)
  if (io.interruptedBy && (isAbort(error) || (error instanceof StoppedError && !error.resumable))) {
    io.note(`stopped by ${io.interruptedBy}`)
    if (error instanceof StoppedError && error.commandHint) io.note(`hint: ${error.commandHint}`)
    return exitCodeOfSignal(io.interruptedBy)
  }
  const typed = typedSystemError(error)
  if (typed instanceof FreetumorError) {
    noteError(io, typed)
    return typed.exitCode
  }
  noteError(io, error)
  return EXIT.failure
}

function usageExit(error: CommanderError, io: ProgramIo): number {
  if (error.exitCode === 0) return EXIT.ok
  // `freetumor` or `freetumor data` alone: commander has written the help to stderr
  if (error.code === 'commander.help') return EXIT.usage
  const message = error.message.replace(/^error: /, '').replace(/\n\s*/g, ' ')
  noteError(
    io,
    new UsageError(message, {
      hint: '`freetumor --help` lists the commands, `freetumor COMMAND --help` the options',
    }),
  )
  return EXIT.usage
}

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
