import type { Command } from 'commander'
import type { SourceOptions } from '../pipeline/data/collect.js'
import type { CliIo } from './output.js'
import { mapDescription, regionOption } from './program.js'

/** Options of every data command that takes data sets, as the command line gives them. */
export type SourceFlags = Omit<SourceOptions, 'cwd' | 'onNote'>

/** Add the options for reading data sets. */
export function addSourceOptions(command: Command): Command {
  return command
    .option('--root <dir>', 'Search listed paths below this folder, too')
    .option('--as <name>', 'Select the data set of `data list` that this is, or none')
    .addOption(regionOption())
    .option('--map <map>', mapDescription())
    .option('--allow-outside', 'Accept lists that name files outside --root and their own folder')
}

/** Return the options of the data functions; relative paths start at the working directory of the command. */
export function sourceOptions(io: CliIo, flags: SourceFlags): SourceOptions {
  const { root, as, region, map, labels, allowOutside } = flags
  return {
    root,
    as,
    region,
    map,
    labels,
    allowOutside,
    cwd: io.cwd,
    onNote: (text, level) => io.note(`${level === 'warning' ? 'warning' : 'note'}: ${text}`),
  }
}
