import { Command } from 'commander'
import { describe, expect, it, test } from 'vitest'
import { allCommands } from '../../src/cli/commands/all.js'
import { runProgram } from '../../src/cli/program.js'
import { shardOf, shardOption } from '../../src/cli/shard-option.js'
import type { Shard } from '../../src/curation/datasets/shard.js'
import { memoryIo } from '../helpers/cli.js'

/** Parse a command line of a command with `--shard`, as the program does. */
async function shardIn(...argv: readonly string[]): Promise<Shard | undefined> {
  let found: Shard | undefined
  const program = new Command('freetumor')
  program
    .command('work')
    .argument('[paths...]')
    .option('--set <key=value...>')
    .addOption(shardOption())
    .action((_, options: { shard?: Shard }, command: Command) => {
      found = shardOf(options.shard, command).shard
    })
  await program.parseAsync(['work', ...argv], { from: 'user' })
  return found
}

describe('--shard', () => {
  it('gives the shard, and the command line without it as a shell takes it', async () => {
    expect(await shardIn('a.yaml', '--shard', '7/20')).toEqual({
      index: 7,
      count: 20,
      commandLine: 'freetumor work a.yaml',
    })
    expect(await shardIn('--shard=1/2', "it's", '--set', 'a=[1,2]')).toMatchObject({
      commandLine: "freetumor work 'it'\\''s' --set 'a=[1,2]'",
    })
    expect(await shardIn('a.yaml')).toBeUndefined()
  })

  it.each(['3/2', '0/2', '1', 'a/b', '1/0', '-1/2', '1/100001', '1/2/3', ''])(
    'is refused as "%s" with its form',
    async (text) => {
      const io = memoryIo()
      expect(await runProgram(await allCommands(), ['prepare', '--config', 'a', `--shard=${text}`], io)).toBe(
        2,
      )
      expect(io.stderr.join('\n')).toContain(
        `--shard: wrong value (expected I/N with 1 <= I <= N <= 100000, found ${text})`,
      )
    },
  )
})

test('--shard is an option of every command over many cases', async () => {
  for (const command of ['prepare', 'data check', 'data audit', 'synthesize', 'predict', 'evaluate']) {
    const io = memoryIo()
    await runProgram(await allCommands(), [...command.split(' '), '--help'], io)
    expect(io.stdout.join('\n'), command).toContain('--shard <i/n>')
  }
})

test('merge of a folder without shards is refused with what to name', async () => {
  const io = memoryIo({ cwd: '/' })
  expect(await runProgram(await allCommands(), ['merge', 'nowhere'], io)).toBe(2)
  expect(io.stderr.join('\n')).toContain('/nowhere: holds no shards')
})
