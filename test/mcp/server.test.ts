import { mkdirSync, readdirSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InMemoryTransport } from '@modelcontextprotocol/server'
import { expect, it, onTestFinished } from 'vitest'
import { MAX_CHARACTERS, MAX_TEXT } from '../../src/mcp/answers.js'
import { serverWith, toolsOf } from '../../src/mcp/server.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { HIDDEN, HOSTILE } from './hostile-texts.js'

interface Answer {
  readonly content: readonly { readonly text: string }[]
  readonly isError?: boolean
}

/** Serve a folder with control, and return a caller of its tools by the protocol. */
async function clientOf(root: string) {
  const server = serverWith(await toolsOf({ folders: [root], version: '0', control: true }, new Set()), '0')
  const [mine, theirs] = InMemoryTransport.createLinkedPair()
  const answers = new Map<unknown, (message: { result?: Answer; error?: object }) => void>()
  mine.onmessage = (message) => {
    if ('id' in message) answers.get(message.id)?.(message as { result?: Answer })
  }
  await server.connect(theirs)
  await mine.start()
  onTestFinished(() => server.close())
  let asked = 0
  const ask = async (method: string, params: Record<string, unknown>) => {
    const id = ++asked
    const answer = new Promise<{ result?: Answer; error?: object }>((resolve) => answers.set(id, resolve))
    await mine.send({ jsonrpc: '2.0', id, method, params })
    return await answer
  }
  const clientInfo = { name: 'test', version: '1' }
  await ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo })
  await mine.send({ jsonrpc: '2.0', method: 'notifications/initialized' })
  return async (name: string, given: Record<string, unknown>): Promise<Answer> => {
    const { result, error } = await ask('tools/call', { name, arguments: given })
    if (result === undefined) throw new Error(JSON.stringify(error))
    return result
  }
}

/** Write a run whose records hold a text wherever a stranger can write one, and a scan with the text as its name. */
function writeHostileRun(root: string, text: string): string {
  const name = text.replace(/[/\0]/g, '-').slice(0, 60)
  const run = join(root, 'runs', name)
  mkdirSync(run, { recursive: true })
  const time = '2026-01-01T00:00:00.000Z'
  const line = (value: object) => `${JSON.stringify(value)}\n`
  writeFileSync(join(run, 'config.resolved.yaml'), JSON.stringify({ job: text, name: text, [text]: text }))
  writeFileSync(join(run, 'events.jsonl'), line({ type: 'note', time, level: 'warning', text, [text]: text }))
  writeFileSync(join(run, 'exit.json'), line({ outcome: text, reason: text }))
  writeFileSync(join(run, 'ledger.jsonl'), line({ verdict: text, reason: text, case: text, [text]: [text] }))
  writeFileSync(join(run, 'summary.json'), line({ [text]: { [text]: text } }))
  writeFileSync(join(run, 'scan.nii'), text)
  return join('runs', name)
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => [key, ...textsIn(inner)])
}

const filesBelow = (folder: string) =>
  (readdirSync(folder, { recursive: true }) as string[]).map(
    (name) => `${name} ${statSync(join(folder, name)).mtimeMs}`,
  )

it('answers about hostile files mark their texts as data, and no file changes', async () => {
  const root = realpathSync(temporaryFolder())
  const call = await clientOf(root)
  const runs = HOSTILE.map((text) => writeHostileRun(root, text))
  const before = filesBelow(root)
  const answers = [await call('list_runs', { folder: 'runs' })]
  for (const [at, run] of runs.entries()) {
    const asked: [string, Record<string, unknown>][] = [
      ['describe_run', { run }],
      ['read_events', { run }],
      ['read_ledger', { path: run }],
      ['read_evaluation', { path: run }],
      ['check_config', { config: `${run}/config.resolved.yaml` }],
      ['resume_training', { run }],
      ['explain_key', { key: HOSTILE[at]!.slice(0, 200) }],
    ]
    for (const [name, given] of asked) answers.push(await call(name, given))
  }
  for (const { content } of answers) {
    expect(content).toHaveLength(2)
    expect(content[0]!.text).toMatch(/^The following JSON comes from files\./)
    const text = content[1]!.text
    expect(text).not.toMatch(HIDDEN)
    expect(text.length).toBeLessThanOrEqual(MAX_CHARACTERS)
    for (const one of textsIn(JSON.parse(text))) {
      expect(one).not.toMatch(HIDDEN)
      expect(one.length).toBeLessThanOrEqual(MAX_TEXT + 3)
    }
  }
  expect(filesBelow(root)).toEqual(before)
})
