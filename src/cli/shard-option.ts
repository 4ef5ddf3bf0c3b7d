import { type Command, InvalidArgumentError, Option } from 'commander'
import { refuseWrongShard, SHARD_FORM, type Shard } from '../curation/datasets/shard.js'
import { quoted } from '../plain-text.js'

/** Return the option `--shard` of commands over many cases. */
export function shardOption(): Option {
  return new Option(
    '--shard <i/n>',
    'Select part I of N of the cases; `freetumor merge` joins all parts',
  ).argParser(parseShard)
}

function parseShard(text: string): Shard {
  const parts = /^(\d{1,9})\/(\d{1,9})$/.exec(text)
  if (parts === null) throw new InvalidArgumentError(SHARD_FORM)
  const shard = { index: Number(parts[1]), count: Number(parts[2]) }
  try {
    refuseWrongShard(shard)
  } catch {
    throw new InvalidArgumentError(SHARD_FORM)
  }
  return shard
}

/** Return the shard with the command line, so that hints can name the command of another shard. */
export function shardOf(shard: Shard | undefined, command: Command): { readonly shard?: Shard } {
  if (shard === undefined) return {}
  let program = command
  while (program.parent !== null) program = program.parent
  // not among the types of commander
  const { rawArgs } = program as unknown as { readonly rawArgs: readonly string[] }
  const words = rawArgs.filter(
    (word, at) => word !== '--shard' && rawArgs[at - 1] !== '--shard' && !word.startsWith('--shard='),
  )
  return { shard: { ...shard, commandLine: ['freetumor', ...words].map(quoted).join(' ') } }
}
