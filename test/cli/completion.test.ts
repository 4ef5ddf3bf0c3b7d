import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commandTree } from '../../src/cli/command-tree.js'
import { allCommands } from '../../src/cli/commands/all.js'
import { completionScript, SHELLS, type Shell } from '../../src/cli/completion.js'
import { makeProgram, runProgram } from '../../src/cli/program.js'
import { memoryIo } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

const tree = commandTree(makeProgram(await allCommands(), memoryIo()))
const installed = (shell: Shell): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0

/** Complete a command line with bash; the last word is completed. */
function byBash(line: string, folder = temporaryFolder()): string[] {
  const words = line.split(' ')
  const script = `${completionScript(tree, 'bash')}
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _freetumor
printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' }).trim().split('\n')
}

describe('completion of bash', () => {
  it('offers commands and subcommands', () => {
    expect(byBash('freetumor che')).toEqual(['checkpoint'])
    expect(byBash('freetumor data ')).toEqual(expect.arrayContaining(['check', 'import', 'remap']))
  })

  it('offers the options of the command only', () => {
    expect(byBash('freetumor data check --m')).toEqual(['--map', '--max-mb'])
    expect(byBash('freetumor data check folder --workers 2 --m')).toEqual(['--map', '--max-mb'])
  })

  it('offers the choices of an option or an argument', () => {
    expect(byBash('freetumor phantom --region ')).toEqual(['abdomen', 'chest'])
    expect(byBash('freetumor completion ')).toEqual([...SHELLS])
  })

  it('leaves other values to the file names of the shell', () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'data'))
    writeFileSync(join(folder, 'demo.yaml'), '')
    expect(byBash('freetumor train --config d', folder)).toEqual([''])
    expect(completionScript(tree, 'bash')).toContain('complete -o default -F _freetumor freetumor')
  })
})

for (const shell of SHELLS) {
  const title = `completion of ${shell} is a script that ${shell} can read`
  if (installed(shell))
    it(title, () => {
      const file = join(temporaryFolder(), 'completion')
      writeFileSync(file, completionScript(tree, shell))
      execFileSync(shell, ['-n', file])
    })
  else it.skip(`${title} (${shell} is not installed)`, () => {})
}

it.each(SHELLS)('completion of %s offers the options of all commands', (shell) => {
  for (const option of ['keep-rejected', 'window-batch', 'allow-outside'])
    expect(completionScript(tree, shell)).toContain(option)
})

it('completion of a shell that is not supported is refused', async () => {
  const io = memoryIo()
  expect(await runProgram(await allCommands(), ['completion', 'tcsh'], io)).toBe(2)
  expect(io.stderr.join('\n')).toContain('expected one of bash, zsh, fish')
})

describe('help as JSON', () => {
  const printed = async (...argv: string[]) => {
    const io = memoryIo()
    expect(await runProgram(await allCommands(), argv, io)).toBe(0)
    return JSON.parse(io.stdout.join('\n'))
  }

  it('lists all commands with arguments and options', async () => {
    const help = await printed('--help', '--output', 'json')
    expect(help).toMatchObject({ schemaVersion: 1, name: '', usage: 'freetumor [options] [command]' })
    const data = help.commands.find(({ name }: { name: string }) => name === 'data')
    expect(data.commands.map(({ name }: { name: string }) => name)).toContain('data check')
  })

  it('describes one command', async () => {
    const help = await printed('phantom', '-h', '--output=json')
    expect(help).toMatchObject({ name: 'phantom', commands: [] })
    const options = Object.fromEntries(
      help.options.map((one: { flags: string[] }) => [one.flags.at(-1), one]),
    )
    expect(options['--out']).toMatchObject({ required: true, value: '<dir>' })
    expect(options['--region']).toMatchObject({ choices: ['abdomen', 'chest'], required: false })
    expect(options['--help']).toMatchObject({ flags: ['-h', '--help'], value: null })
  })

  it('is not taken from the arguments of a user script', async () => {
    const io = memoryIo()
    expect(await runProgram(await allCommands(), ['plan', '--', '--help', '--output', 'json'], io)).toBe(2)
  })
})
