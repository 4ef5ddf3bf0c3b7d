import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findRun, summariseRuns, summaryOfRun } from '../../../src/pipeline/runs/list.js'
import { readLedger, readRunEvents } from '../../../src/pipeline/runs/records.js'
import { startTraining } from '../../../src/pipeline/train/run.js'
import { runProcesses } from '../../../src/runtime/run-service.js'
import { temporaryFolder } from '../../helpers/temporary.js'
import { memoryConfig, memoryRuntime } from '../train/memory-run.js'

const nobody = { status: async () => null, holders: async () => new Map(), jobs: async () => new Map() }

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

async function typesOf(path: string): Promise<string[]> {
  return (await all(readRunEvents(path))).map(({ type }) => type)
}

async function trained(): Promise<string> {
  const cwd = temporaryFolder()
  const config = await memoryConfig('baseline', cwd, { training: { steps: 3, validateEverySteps: 2 } })
  await startTraining(config, memoryRuntime(), { out: join(cwd, 'runs', 'first') }).result
  return cwd
}

describe('the runs below a folder', () => {
  it('are summarised with their state, and a damaged one is listed as broken', async () => {
    const cwd = await trained()
    mkdirSync(join(cwd, 'runs', 'torn'))
    writeFileSync(join(cwd, 'runs', 'torn', 'config.resolved.yaml'), 'job: [')
    const found = await summariseRuns(cwd, nobody)
    expect(found.map(({ name, state, step }) => [name, state, step])).toEqual([
      ['torn', 'broken', 0],
      [expect.any(String), 'completed', 3],
    ])
    expect(await summaryOfRun(join(cwd, 'runs', 'first'), nobody)).toMatchObject({
      state: 'completed',
      step: 3,
    })
  })

  it('are listed from the processes that train them', async () => {
    const cwd = await trained()
    const status = { phase: 'paused', step: 2, steps: 3 }
    const first = join(cwd, 'runs', 'first')
    const processes = { ...nobody, status: async (at: string) => (at === first ? (status as never) : null) }
    expect(await summaryOfRun(first, processes)).toMatchObject({ state: 'paused', step: 2, steps: 3 })
    expect(await runProcesses.status(first)).toBeNull()
  })

  it('are found by a path or by the last part of one below runs/', async () => {
    const cwd = await trained()
    const first = join(cwd, 'runs', 'first')
    expect(await findRun('runs/first', cwd)).toBe(first)
    expect(await findRun('first', cwd)).toBe(first)
    await expect(findRun('second', cwd)).rejects.toThrow('second: no run directory')
    mkdirSync(join(cwd, 'runs', 'other', 'first'), { recursive: true })
    writeFileSync(join(cwd, 'runs', 'other', 'first', 'config.resolved.yaml'), '')
    await expect(findRun('first', cwd)).rejects.toThrow('2 runs have this name')
  })
})

describe('the records of a run', () => {
  it('are its events, by folder or by file', async () => {
    const first = join(await trained(), 'runs', 'first')
    const types = await typesOf(first)
    expect(types).toEqual(expect.arrayContaining(['started', 'step', 'validation', 'checkpoint', 'finished']))
    const again = await typesOf(join(first, 'events.jsonl'))
    expect(again).toEqual(types)
  })

  it('are an error that names the file when there are none', async () => {
    const folder = temporaryFolder()
    await expect(all(readRunEvents(folder))).rejects.toThrow(/events\.jsonl: file not found/)
    await expect(all(readLedger(folder))).rejects.toThrow(/ledger\.jsonl: file not found/)
  })
})
