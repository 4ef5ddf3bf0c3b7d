import { Argument } from 'commander'
import { commandTree } from '../command-tree.js'
import { completionScript, SHELLS, type Shell } from '../completion.js'
import { type AddCommand, withExample } from '../program.js'

/** `freetumor completion` */
export const addCompletionCommand: AddCommand = (program, io) => {
  withExample(
    program.command('completion'),
    'freetumor completion bash > ~/.local/share/bash-completion/completions/freetumor',
    'freetumor completion fish | source',
  )
    .description('Print a script that completes commands and options in a shell')
    .addArgument(new Argument('<shell>', 'shell that runs the script').choices(SHELLS))
    .action((shell: Shell) => io.print(completionScript(commandTree(program), shell).trimEnd()))
}
