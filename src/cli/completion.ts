import { quoted } from '../plain-text.js'
import { type CommandOption, type CommandTree, withSubcommands } from './command-tree.js'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/**
 * Return a completion script of a shell. It holds all commands, options and choices, so that a completion starts
 * no process. Other values are completed as file names.
 */
export function completionScript(program: CommandTree, shell: Shell): string {
  const commands = withSubcommands(program)
  if (shell === 'fish') return fish(commands)
  return shell === 'bash' ? bash(commands) : zsh(commands)
}

function bash(commands: readonly CommandTree[]): string {
  const words = (list: readonly string[]) => quoted(list.join(' '))
  return `# Completion of freetumor for bash. Load it with: source <(freetumor completion bash)
_freetumor() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" command='' names='' options='' at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "$command \${COMP_WORDS[at]}" in
      ${subcommandPatterns(commands)}) command="\${command:+$command }\${COMP_WORDS[at]}" ;;
    esac
  done
  case "$command $previous" in
${choicesOf(commands)
  .map(
    ({ pattern, choices }) =>
      `    ${pattern}) COMPREPLY=($(compgen -W ${words(choices)} -- "$current")); return ;;`,
  )
  .join('\n')}
${valuePatterns(commands)
  .map((pattern) => `    ${pattern}) COMPREPLY=(); return ;;`)
  .join('\n')}
  esac
  case "$command" in
${commands
  .map(
    (command) =>
      `    ${quoted(command.name)}) names=${words(namesIn(command))} options=${words(command.options.flatMap(longFlag))} ;;`,
  )
  .join('\n')}
  esac
  if [[ $current == -* ]]; then names=$options; fi
  COMPREPLY=($(compgen -W "$names" -- "$current"))
}
complete -o default -F _freetumor freetumor
`
}

function zsh(commands: readonly CommandTree[]): string {
  const described = (entries: readonly (readonly [string, string])[]) =>
    entries.map(([word, description]) => quoted(`${word.replaceAll(':', '\\:')}:${description}`)).join(' ')
  return `#compdef freetumor
# Completion of freetumor for zsh. Load it with: source <(freetumor completion zsh)
_freetumor() {
  local command='' previous=\${words[CURRENT-1]} at
  local -a names options
  for ((at = 2; at < CURRENT; at++)); do
    case "$command \${words[at]}" in
      ${subcommandPatterns(commands)}) command="\${command:+$command }\${words[at]}" ;;
    esac
  done
  case "$command $previous" in
${choicesOf(commands)
  .map(({ pattern, choices }) => `    ${pattern}) compadd -- ${choices.map(quoted).join(' ')}; return ;;`)
  .join('\n')}
${valuePatterns(commands)
  .map((pattern) => `    ${pattern}) _files; return ;;`)
  .join('\n')}
  esac
  case "$command" in
${commands
  .map(
    (command) => `    ${quoted(command.name)})
      names=(${described([
        ...command.commands.map((one) => [lastWord(one.name), one.description] as const),
        ...argumentChoices(command).map((choice) => [choice, command.arguments[0]!.description] as const),
      ])})
      options=(${described(command.options.flatMap((option) => longFlag(option).map((flag) => [flag, option.description] as const)))}) ;;`,
  )
  .join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then
    _describe option options
  elif ((\${#names})); then
    _describe value names
  else
    _files
  fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _freetumor "$@"; else compdef _freetumor freetumor; fi
`
}

function fish(commands: readonly CommandTree[]): string {
  const lines = commands.flatMap((command) => {
    const here = `-n ${quoted(`__freetumor_at ${quoted(command.name)}`)}`
    const line = (rest: string, description: string) =>
      `complete -c freetumor ${here} ${rest} -d ${quoted(description)}`
    return [
      ...command.commands.map((one) => line(`-f -a ${lastWord(one.name)}`, one.description)),
      ...argumentChoices(command).map((choice) =>
        line(`-f -a ${quoted(choice)}`, command.arguments[0]!.description),
      ),
      ...command.options.map((option) => {
        const flags = option.flags.map((flag) =>
          flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag[1]}`,
        )
        const value = option.choices
          ? ` -x -a ${quoted(option.choices.join(' '))}`
          : option.value
            ? ' -r'
            : ''
        return line(flags.join(' ') + value, option.description)
      }),
    ]
  })
  const names = commands.filter(({ name }) => name !== '').map(({ name }) => quoted(name))
  return `# Completion of freetumor for fish. Load it with: freetumor completion fish | source
function __freetumor_at
  set -l command ''
  for word in (commandline -opc)[2..]
    set -l longer (string trim "$command $word")
    contains -- $longer ${names.join(' ')}; and set command $longer
  end
  test "$command" = "$argv[1]"
end
${lines.join('\n')}
`
}

/** Return shell patterns of "parent subcommand". */
function subcommandPatterns(commands: readonly CommandTree[]): string {
  return commands
    .flatMap((parent) => parent.commands.map((one) => quoted(`${parent.name} ${lastWord(one.name)}`)))
    .join('|')
}

/** Return the options with choices, with patterns of "command option". */
function choicesOf(commands: readonly CommandTree[]) {
  return commands.flatMap((command) =>
    command.options.flatMap((option) =>
      option.choices === null ? [] : [{ pattern: patternOf(command, option), choices: option.choices }],
    ),
  )
}

/** Return the options with other values as patterns of "command option". */
function valuePatterns(commands: readonly CommandTree[]): string[] {
  return commands.flatMap((command) =>
    command.options
      .filter((option) => option.value !== null && option.choices === null)
      .map((option) => patternOf(command, option)),
  )
}

const patternOf = ({ name }: CommandTree, { flags }: CommandOption): string =>
  flags.map((flag) => quoted(`${name} ${flag}`)).join('|')

const longFlag = ({ flags }: CommandOption): string[] => flags.filter((flag) => flag.startsWith('--'))

const lastWord = (name: string): string => name.slice(name.lastIndexOf(' ') + 1)

const argumentChoices = (command: CommandTree): readonly string[] => command.arguments[0]?.choices ?? []

const namesIn = (command: CommandTree): string[] => [
  ...command.commands.map(({ name }) => lastWord(name)),
  ...argumentChoices(command),
]
