import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { allCommands } from '../../src/cli/commands/all.js'
import { OLD_SPELLINGS, withNewSpellings } from '../../src/cli/old-spellings.js'
import { makeProgram, runProgram } from '../../src/cli/program.js'
import { packageRoot } from '../../src/runtime/python.js'
import { memoryIo } from '../helpers/cli.js'

const program = makeProgram(await allCommands(), memoryIo())

describe.each(OLD_SPELLINGS)('$command $old', ({ command, old, now }) => {
  test('is no option of the command, and its new spelling is one', () => {
    const flags = program.commands.find((one) => one.name() === command)!.options.map(({ long }) => long)
    expect(flags).toContain(now)
    expect(flags).not.toContain(old)
  })

  test('is replaced with a note, with and without an equals sign', () => {
    const notes: string[] = []
    const argv = [command, old, 'a', `${old}=b`]
    expect(withNewSpellings(argv, (text) => notes.push(text))).toEqual([command, now, 'a', `${now}=b`])
    expect(notes[0]).toBe(`note: \`${old}\` is now \`${now}\`; the old spelling works until 0.3`)
  })

  test('is listed in docs/migration.md', () => {
    const page = readFileSync(join(packageRoot, 'docs/migration.md'), 'utf8')
    expect(page).toContain(`| \`${command} ${old}\` | \`${command} ${now}\` | 0.3 |`)
  })
})

test('the flags of other commands keep their spelling', () => {
  const argv = ['launch', '--processes', '2', '--', 'train.py', '--label-map', 'a']
  expect(withNewSpellings(argv, () => expect.unreachable())).toEqual(argv)
})

test('a command runs with an old spelling', async () => {
  const io = memoryIo()
  expect(
    await runProgram(await allCommands(), ['evaluate', '--labels-ids', '1', '--schema', 'summary'], io),
  ).toBe(0)
  expect(io.stderr).toEqual(['note: `--labels-ids` is now `--label-ids`; the old spelling works until 0.3'])
})
