import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { allCommands } from '../../src/cli/commands/all.js'
import { makeProgram } from '../../src/cli/program.js'
import { memoryIo } from '../helpers/cli.js'
import { longSentences, MAX_WORDS } from '../helpers/words.js'

/** Verbs that a description in the help may start with. */
const VERBS = new Set(
  `Accept Adopt Compute Label Leave Pass Record Replace Search Allow Assign Average Balance Build Check Choose Compare Continue Convert Count Create Crop Detect
  Download Draw Exchange Exclude Export Find Fit Follow Ignore Include Inspect Install Keep Limit List Map Measure Merge Name
  Overwrite Paint Pause Place Plan Prepare Print Read Refuse Remap Remove Report Resample Restart Resume Round Run Save Score Serve
  Revoke Segment Select Send Set Show Simulate Skip Split Start State Stop Submit Synthesize Train Trust Try Update Use Verify Wait Weight
  Write`.split(/\s+/),
)
const commands = descendants(makeProgram(await allCommands(), memoryIo()))
const entries = commands.flatMap((command) => [
  [pathOf(command), command.description()] as const,
  ...command.options.map(({ flags, description }) => [`${pathOf(command)} ${flags}`, description] as const),
])
const described = [
  ...entries,
  ...commands.flatMap((command) =>
    command.registeredArguments.map((one) => [`${pathOf(command)} ${one.name()}`, one.description] as const),
  ),
]

test('describes every command and option in the imperative', () => {
  const faults = entries.filter(([, text]) => !VERBS.has(/^\w+/.exec(text)?.[0] ?? ''))
  expect(faults.map(([name, text]) => `${name}: ${text}`)).toEqual([])
})

test('prints no empty default', () => {
  const faults = commands.flatMap((command) =>
    command.options.filter(
      ({ defaultValue: value }) => value === '' || (Array.isArray(value) && value.length === 0),
    ),
  )
  expect(faults.map(({ flags }) => flags)).toEqual([])
})

test('describes every argument', () => {
  expect(described.filter(([, text]) => text === '').map(([name]) => name)).toEqual([])
})

test(`has sentences of at most ${MAX_WORDS} words`, () => {
  const faults = described.flatMap(([name, text]) => longSentences([text]).map((long) => `${name}: ${long}`))
  expect(faults).toEqual([])
})

function descendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(descendants)]
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name()
}
