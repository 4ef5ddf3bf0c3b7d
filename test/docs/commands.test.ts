import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { allCommands } from '../../src/cli/commands/all.js'
import { makeProgram } from '../../src/cli/program.js'
import { packageRoot } from '../../src/runtime/python.js'
import { memoryIo } from '../helpers/cli.js'
import { blocksIn } from './pages.js'
import { commandsOf } from './shell.js'

describe('commandsOf', () => {
  it('splits pipes, lists, redirections, quotes and continued lines into words', () => {
    const text = [
      'npx freetumor a --b "c d" > out.json   # why',
      'X=1 freetumor e \\',
      '  \'f\' && g | h; cat "$(cat i)/j#k"',
    ].join('\n')
    expect(commandsOf(text)).toEqual([
      ['freetumor', 'a', '--b', 'c d'],
      ['freetumor', 'e', 'f'],
      ['g'],
      ['h'],
      ['cat', '$(cat i)/j#k'],
    ])
  })
})

const complete = await allCommands()
const commands = blocksIn('sh').flatMap((block) =>
  commandsOf(block.text).map((words) => ({ words, at: `${block.page}:${block.line}` })),
)

/** The CLI with actions that do nothing. */
function dryProgram(): Command {
  const program = makeProgram(complete, memoryIo())
  silence(program)
  return program
}

function silence(command: Command): void {
  if (command.commands.length === 0) command.action(() => {})
  else command.commands.forEach(silence)
}

describe('the commands in the documentation', () => {
  it('exist in the CLI, with their options, values and required arguments', async () => {
    const faults: string[] = []
    const own = commands.filter(({ words }) => words[0] === 'freetumor')
    for (const { words, at } of own) {
      const program = dryProgram()
      try {
        await program.parseAsync(words.slice(1), { from: 'user' })
      } catch (error) {
        if (!(error instanceof CommanderError)) throw error
        if (error.exitCode !== 0) faults.push(`${at}: ${words.join(' ')}: ${error.message}`)
      }
    }
    expect(faults).toEqual([])
    expect(own.length).toBeGreaterThan(60)
  })

  it('name scripts, benchmarks and npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>
    }
    const faults = commands.filter(({ words: [program, ...rest] }) => {
      if (program === 'npm' && rest[0] === 'run') return !((rest[1] ?? '') in scripts)
      const files = [program!, ...rest].filter((word) => /^scripts\/\S+$/.test(word))
      if (program === 'scripts/bench' && rest[0] && !rest[0].startsWith('-'))
        files.push(`scripts/benchmarks/${rest[0]}.py`)
      return files.some((file) => !existsSync(join(packageRoot, file)))
    })
    expect(faults).toEqual([])
  })
})
