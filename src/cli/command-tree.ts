import type { Argument, Command, Option } from 'commander'

/** A command as data: what `--help --output json` prints and what shell completion offers. */
export interface CommandTree {
  /** Full name, such as `data check`; empty for the program. */
  readonly name: string
  readonly description: string
  /** The command line in short, such as `freetumor data check [options] <path...>`. */
  readonly usage: string
  readonly arguments: readonly CommandArgument[]
  /** Options without hidden ones. */
  readonly options: readonly CommandOption[]
  readonly commands: readonly CommandTree[]
}

export interface CommandArgument {
  readonly name: string
  readonly description: string
  readonly required: boolean
  readonly variadic: boolean
  /** Values that are accepted; null if any text may be valid. */
  readonly choices: readonly string[] | null
}

export interface CommandOption {
  /** Such as `-h` and `--help`. */
  readonly flags: readonly string[]
  readonly description: string
  /** True if the command cannot run without it. */
  readonly required: boolean
  /** Name of the value, such as `<dir>`; null for a switch. */
  readonly value: string | null
  readonly variadic: boolean
  readonly choices: readonly string[] | null
  /** Default value; null if there is none. */
  readonly default: unknown
}

/** Return a command and its subcommands as data. */
export function commandTree(command: Command): CommandTree {
  const name = fullName(command)
  const help = command.createHelp()
  return {
    name,
    description: command.description(),
    usage: help.commandUsage(command),
    arguments: command.registeredArguments.map(argumentOf),
    options: help.visibleOptions(command).map(optionOf),
    commands: command.commands.map(commandTree),
  }
}

/** Return the name of a command with those of its parents, such as `data check`; empty for the program. */
export function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}`.trim() : ''
}

/** Return a tree and all trees below it. */
export function withSubcommands(tree: CommandTree): CommandTree[] {
  return [tree, ...tree.commands.flatMap(withSubcommands)]
}

function argumentOf(argument: Argument): CommandArgument {
  const { description, required, variadic, argChoices } = argument
  return { name: argument.name(), description, required, variadic, choices: argChoices ?? null }
}

function optionOf({ flags, ...option }: Option): CommandOption {
  const { description, mandatory, variadic, argChoices, defaultValue } = option
  return {
    flags: flags.match(/(?<!\S)--?[\w-]+/g) ?? [],
    description,
    required: mandatory,
    value: /[<[].*[>\]]/.exec(flags)?.[0] ?? null,
    variadic,
    choices: argChoices ?? null,
    default: defaultValue ?? null,
  }
}
