import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { COMMANDS } from '../../src/cli/commands/all.js'
import { packageRoot } from '../../src/runtime/python.js'
import { runCli } from '../helpers/cli.js'
import { temporaryFolder } from '../helpers/temporary.js'

/** Written by the build. */
const schema = JSON.parse(readFileSync(join(packageRoot, 'dist/outputs.schema.json'), 'utf8'))

/** Parse a document of a command by the schema that ships; throws where it does not conform. */
function conforming(command: string, text: string): Record<string, unknown> {
  const { $schema, definitions } = schema
  const document = z.fromJSONSchema({ $schema, ...schema.documents[command], definitions })
  return document.parse(JSON.parse(text)) as Record<string, unknown>
}

describe('the schema of the outputs', () => {
  test('names no path and leaves no reference open', () => {
    const text = JSON.stringify(schema)
    expect(text).not.toContain(packageRoot)
    const references = [...text.matchAll(/"\$ref":"#\/definitions\/([^"]+)"/g)].map(([, name]) => name!)
    expect(references.filter((name) => !(name in schema.definitions))).toEqual([])
    expect(references.length).toBeGreaterThan(50)
  })

  test('has a document for every command group', () => {
    const first = new Set(Object.keys(schema.documents).map((name) => name.split(' ')[0]))
    expect(first.size).toBeGreaterThanOrEqual(COMMANDS.length - 1)
  })

  test('refuses a document without its version or without a key', () => {
    expect(() => conforming('runs list', '{"runs":[]}')).toThrow(/schemaVersion/)
    expect(() => conforming('runs list', '{"schemaVersion":1}')).toThrow(/runs/)
  })
})

test.each([
  ['runs list', []],
  ['config explain', ['training.accumulation']],
  ['config check', ['debug-baseline', '--no-data']],
  ['plan', ['--config', 'debug-baseline', '--no-measure']],
  ['init', ['--from', 'debug-baseline', '--out', 'mine.yaml']],
  ['phantom', ['--out', 'phantoms', '--cases', '1', '--size', '32']],
  ['data check', ['phantoms']],
])('the JSON of `%s` conforms to the schema', async (command, args) => {
  const cwd = temporaryFolder()
  if (args.includes('phantoms') && command !== 'phantom')
    await runCli(['phantom', '--out', 'phantoms', '--cases', '1', '--size', '32'], { cwd })
  const { stdout, stderr } = await runCli([...command.split(' '), ...args, '--output', 'json'], { cwd })
  expect(stdout, stderr).not.toBe('')
  expect(conforming(command, stdout).schemaVersion).toBe(1)
})
