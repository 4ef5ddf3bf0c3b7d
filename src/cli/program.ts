import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { DataError, EXIT, FreetumorError, StoppedError, UsageError } from '../errors.js'
import { refusePnp } from '../runtime/pnp.js'
import { exitCodeOf as exitCodeOfSignal, isAbort, type StopSignal } from '../stop-signals.js'
import { typedSystemError } from '../system-errors.js'
import { commandTree, fullName } from './command-tree.js'
import { faultOfDicom } from './dicom-arguments.js'
import { withNewSpellings } from './old-spellings.js'
import { type CliIo, noteError, type OutputFormat, printResult } from './output.js'

/** Adds one command to the program. Each file of `commands/` exports one. */
export type AddCommand = (program: Command, io: CliIo) => void

export interface ProgramIo extends CliIo {
  /** The code asked for with `exitWith`; 0 when nothing was. */
  readonly exitCode: number
  /** The signal that aborted `signal`, if one did. */
  readonly interruptedBy: StopSignal | undefined
}

/** Run one command line (`argv` without node and script) and return its exit code. Nothing is thrown. */
export async function runProgram(
  commands: readonly AddCommand[],
  argv: readonly string[],
  io: ProgramIo,
): Promise<number> {
  const program = makeProgram(commands, io)
  let command = program
  for (const one of withDescendants(program))
    one.hook('preSubcommand', (_, subcommand) => {
      command = subcommand
    })
  try {
    const words = withNewSpellings(argv, (text) => io.note(text))
    if (asksForHelpAsJson(words)) {
      printResult(io, '--help', 'json', commandTree(commandNamed(words, program)), () => [])
    } else await program.parseAsync(words, { from: 'user' })
    return io.exitCode
  } catch (error) {
    return await exitCodeOf(error, command, io)
  }
}

/** Return true for `--help --output json` before any `--`. */
function asksForHelpAsJson(words: readonly string[]): boolean {
  const own = words.slice(0, words.includes('--') ? words.indexOf('--') : undefined)
  const asJson = (word: string, at: number) =>
    word === '--output=json' || (word === '--output' && own[at + 1] === 'json')
  return own.some((word) => word === '--help' || word === '-h') && own.some(asJson)
}

/** Return the command that the first words name. */
function commandNamed([word, ...rest]: readonly string[], parent: Command): Command {
  const found = parent.commands.find((command) => command.name() === word)
  return found ? commandNamed(rest, found) : parent
}

/** Return the option `--output`; streams may add `ndjson`. The action receives its value as `output`. */
export function outputOption(formats: readonly OutputFormat[] = ['text', 'json']): Option {
  return new Option('--output <format>', 'Set the format of the result').choices(formats).default('text')
}

/** Return the option `--weights` of commands that read checkpoints. */
export function weightsOption(): Option {
  return new Option(
    '--weights <name>',
    'Select a set of weights: student, teacher, ema, or a key of the file',
  )
}

/** Return the option `--merging` of commands that load a segmentor. */
export function mergingOption(): Option {
  return new Option(
    '--merging <order>',
    'Set the patch-merging order of a checkpoint that does not state it',
  ).choices(['legacy', 'corrected', 'v2'])
}

/** Return the option `--region` of commands that read label maps. */
export function regionOption(): Option {
  return new Option('--region <region>', 'Set the region of the label ids').choices(['abdomen', 'chest'])
}

/** Return the description of the option `--map` of commands that read label maps. */
export function mapDescription(): string {
  return 'Map label ids: `region`, a preset (`freetumor data list --presets`), or source:target,...'
}

/** Put examples (full command lines) above everything else in `--help`. */
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
  // doctor reports it as one of its checks
  program.hook('preAction', (_, action) => {
    refuseEmpty(action)
    if (action.name() !== 'doctor') refusePnp()
  })
  for (const add of commands) add(program, io)
  for (const command of withDescendants(program)) {
    command.helpOption('-h, --help', 'Print this help')
    if (command.commands.length > 0) command.helpCommand('help [command]', 'Print the help of a command')
    command.exitOverride((error) => {
      throw error.exitCode === 0 || error.code === 'commander.help' ? error : usageError(error, command)
    })
    command.configureOutput({
      writeOut: (text) => io.print(text.trimEnd()),
      writeErr: (text) => {
        for (const line of text.trimEnd().split('\n')) io.note(line)
      },
      outputError: () => {}, // exitCodeOf prints it in the form of every other error
    })
  }
  return program
}

/**
 * Refuse empty words, as an unset variable of a script leaves them: an empty path would be the working directory. Lists of
 * words may hold them, because they are given to another program.
 * @throws UsageError
 */
function refuseEmpty(command: Command): void {
  const empty = [
    ...command.registeredArguments
      .filter(({ variadic }, at) => !variadic && command.args[at] === '')
      .map((one) => one.name()),
    ...command.options
      .filter((one) => !one.variadic && command.getOptionValue(one.attributeName()) === '')
      .map(({ long }) => long),
  ]
  if (empty.length > 0)
    throw new UsageError(`${fullName(command)}: ${empty[0]}: empty value`, {
      hint: `${helpOf(command)} lists the arguments and options`,
    })
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)]
}

/** @param command the command that ran */
async function exitCodeOf(error: unknown, command: Command, io: ProgramIo): Promise<number> {
  // help that was asked for is no fault; `freetumor` or `freetumor data` alone: commander has written the help to stderr
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  if (io.interruptedBy && (isAbort(error) || (error instanceof StoppedError && !error.resumable))) {
    io.note(`stopped by ${io.interruptedBy}`)
    if (error instanceof StoppedError && error.commandHint) io.note(`hint: ${error.commandHint}`)
    return exitCodeOfSignal(io.interruptedBy)
  }
  const typed = typedSystemError(error)
  if (typed instanceof FreetumorError) {
    const dicom = await faultOfDicom(typed, io.cwd)
    noteError(io, dicom === null ? typed : new DataError(dicom.message, { hint: dicom.hint, cause: typed }))
    if (dicom === null && typed instanceof UsageError && command.parent && !typed.hint?.includes('--help'))
      io.note(`help: ${helpOf(command)}`)
    return typed.exitCode
  }
  noteError(io, error)
  return EXIT.failure
}

/** Return the error of a command line that a command refuses. */
function usageError({ message }: CommanderError, command: Command): UsageError {
  const fault = faultOf(message.replace(/^error: /, '').replace(/\n\s*/g, ' '))
  const name = fullName(command)
  return new UsageError(name === '' ? fault : `${name}: ${fault}`, {
    hint: `${helpOf(command)} lists the ${command.commands.length > 0 ? 'commands' : 'arguments and options'}`,
  })
}

/** Return a message of commander in the form of every other error. */
function faultOf(message: string): string {
  const { name, found, expected } =
    (
      /^option '(?<name>--[\w-]+).*?' argument '(?<found>.*)' is invalid\. (?<expected>.*?)\.?$/s.exec(
        message,
      ) ??
      /^command-argument value '(?<found>.*)' is invalid for argument '(?<name>.*?)'\. (?<expected>.*?)\.?$/s.exec(
        message,
      )
    )?.groups ?? {}
  if (expected === undefined) return message
  const choices = expected.replace(/^Allowed choices are /, 'one of ')
  return `${name}: wrong value (expected ${choices}, found ${found})`
}

function helpOf(command: Command): string {
  return `\`${`freetumor ${fullName(command)}`.trim()} --help\``
}

export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
