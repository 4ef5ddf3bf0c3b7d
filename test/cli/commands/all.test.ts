import { join } from 'node:path'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { commandTree } from '../../../src/cli/command-tree.js'
import { allCommands, COMMANDS, commandsFor } from '../../../src/cli/commands/all.js'
import { makeProgram } from '../../../src/cli/program.js'
import { packageRoot } from '../../../src/runtime/python.js'
import { memoryIo } from '../../helpers/cli.js'

test('the help lists the same commands without their code as with it', async () => {
  const listed = makeProgram(await commandsFor(['--help']), memoryIo()).helpInformation()
  expect(listed).toBe(makeProgram(await allCommands(), memoryIo()).helpInformation())
})

test.each([
  ['train', '--help'],
  ['help', 'train'],
  ['--help', 'train'],
])('only the named command is complete: %s %s', async (...argv) => {
  const { commands } = makeProgram(await commandsFor(argv), memoryIo())
  const complete = commands.filter(({ options, commands }) => options.length > 1 || commands.length > 0)
  expect(complete.map((command) => command.name())).toEqual(['train'])
})

test.each([
  ['completion', 'bash'],
  ['--help', '--output', 'json'],
])('all commands are complete where all are described: %s %s', async (...argv) => {
  const tree = commandTree(makeProgram(await commandsFor(argv), memoryIo()))
  expect(tree).toEqual(commandTree(makeProgram(await allCommands(), memoryIo())))
})

test('`freetumor --help` imports no package but commander, and few files', async () => {
  const { metafile } = await build({
    entryPoints: [join(packageRoot, 'src/cli/main.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    write: false,
    metafile: true,
    absWorkingDir: packageRoot,
  })
  const files = new Set(['src/cli/main.ts'])
  const packages = new Set<string>()
  for (const file of files)
    for (const { path, kind, external } of metafile.inputs[file]!.imports) {
      if (kind !== 'import-statement') continue
      if (!external) files.add(path)
      else if (!path.startsWith('node:')) packages.add(path)
    }
  expect([...packages]).toEqual(['commander'])
  expect(files.size).toBeLessThan(COMMANDS.length)
})
