import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  bestCheckpoint,
  latestCheckpoint,
  markBest,
  openNewestGood,
  pruneCheckpoints,
} from '../../src/training/checkpoints.js'
import { temporaryFolder } from '../helpers/temporary.js'

const madeBy = { config: 'c', data: 'd', ranks: 1, threadsPerProcess: 1, device: 'cpu', torch: '2' }
const nameOf = (step: number): string => `step_${String(step).padStart(8, '0')}`

/** A run with whole checkpoints of these steps. */
function runWith(...steps: number[]): string {
  const run = temporaryFolder()
  for (const step of steps) addCheckpoint(run, nameOf(step), step)
  return run
}

function addCheckpoint(run: string, name: string, step: number): void {
  const folder = join(run, 'checkpoints', name)
  mkdirSync(folder, { recursive: true })
  const files: Record<string, { sha256: string; bytes: number }> = {}
  for (const file of ['model.pt', 'state.pt']) {
    const text = `${file} of step ${step}`
    writeFileSync(join(folder, file), text)
    files[file] = { sha256: createHash('sha256').update(text).digest('hex'), bytes: text.length }
  }
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ step, madeBy, files }))
}

const inside = (run: string, name: string): string => join(run, 'checkpoints', name)
const names = (run: string): string[] => readdirSync(join(run, 'checkpoints')).sort()

async function opened(run: string): Promise<{ step: number | null; told: string[] }> {
  const told: string[] = []
  const checkpoint = await openNewestGood(run, (text) => told.push(text))
  return { step: checkpoint?.step ?? null, told }
}

describe('the checkpoint that a run resumes from', () => {
  test('is the newest, and `latest` names it even when a kill came before the pointer moved', async () => {
    const run = runWith(10, 30, 20)
    writeFileSync(inside(run, 'latest'), nameOf(20))
    expect(await opened(run)).toEqual({ step: 30, told: [] })
    expect(readFileSync(inside(run, 'latest'), 'utf8')).toBe(nameOf(30))
    expect(await latestCheckpoint(run)).toBe(inside(run, nameOf(30)))
  })

  const damages: [string, (folder: string) => void, string][] = [
    [
      'a changed bit',
      (folder) => flipBit(join(folder, 'state.pt')),
      'the content of state.pt does not match its hash',
    ],
    [
      'a short file',
      (folder) => writeFileSync(join(folder, 'model.pt'), 'model'),
      'model.pt has 5 bytes instead of 19',
    ],
    ['a missing file', (folder) => rmSync(join(folder, 'model.pt')), 'model.pt is missing'],
    ['no manifest', (folder) => rmSync(join(folder, 'manifest.json')), 'it has no readable manifest.json'],
    ['a torn manifest', (folder) => writeFileSync(join(folder, 'manifest.json'), '{"step"'), 'manifest.json'],
    [
      'a manifest of something else',
      (folder) => writeFileSync(join(folder, 'manifest.json'), '[]'),
      'manifest.json',
    ],
    [
      'a manifest of another step',
      (folder) => rewrite(join(folder, 'manifest.json'), '"step":20', '"step":21'),
      'its manifest.json is of step 21',
    ],
  ]
  test.each(damages)(
    'is the previous one when the newest has %s, which is reported and renamed',
    async (_, damage, reason) => {
      const run = runWith(10, 20)
      damage(inside(run, nameOf(20)))
      const { step, told } = await opened(run)
      expect(step).toBe(10)
      expect(told).toEqual([expect.stringContaining(reason)])
      expect(told[0]).toContain(nameOf(20))
      expect(names(run)).toEqual(['latest', nameOf(10), `${nameOf(20)}.damaged`])
      expect(await latestCheckpoint(run)).toBe(inside(run, nameOf(10)))
    },
  )

  test('does not exist where none is whole, where there is none, and where there is no run', async () => {
    const run = runWith(10, 20)
    for (const step of [10, 20]) flipBit(join(inside(run, nameOf(step)), 'model.pt'))
    const { step, told } = await opened(run)
    expect(step).toBeNull()
    expect(told).toHaveLength(2)
    expect((await opened(temporaryFolder())).step).toBeNull()
    expect((await opened(join(temporaryFolder(), 'nowhere'))).step).toBeNull()
  })

  test('is found among what a killed save left, which is removed', async () => {
    const run = runWith(10)
    mkdirSync(inside(run, `${nameOf(20)}.tmp.4711`))
    writeFileSync(join(inside(run, `${nameOf(20)}.tmp.4711`), 'model.pt'), 'half')
    writeFileSync(inside(run, 'latest.tmp'), nameOf(20))
    writeFileSync(inside(run, 'best.tmp.4711'), '')
    mkdirSync(inside(run, `${nameOf(5)}.tmp`))
    expect((await opened(run)).step).toBe(10)
    expect(names(run)).toEqual(['latest', nameOf(10)])
  })

  test('comes back when the kill fell between the two renames of a step that was saved again', async () => {
    const run = runWith(10, 20)
    renameSync(inside(run, nameOf(20)), inside(run, `${nameOf(20)}.replaced`))
    expect((await opened(run)).step).toBe(20)
    addCheckpoint(run, `${nameOf(20)}.replaced`, 20)
    expect((await opened(run)).step).toBe(20)
    expect(names(run)).toEqual(['latest', nameOf(10), nameOf(20)])
  })
})

describe('pruning', () => {
  test('keeps the newest and never removes the best', async () => {
    const run = runWith(1, 2, 3, 4, 5)
    await markBest(run, 2)
    await pruneCheckpoints(run, 2)
    expect(names(run)).toEqual(['best', nameOf(2), nameOf(4), nameOf(5)])
    expect(await bestCheckpoint(run)).toBe(inside(run, nameOf(2)))
  })

  test('removes nothing where there are fewer', async () => {
    const run = runWith(1, 2)
    await pruneCheckpoints(run, 3)
    expect(names(run)).toEqual([nameOf(1), nameOf(2)])
  })
})

describe('the pointer to the best', () => {
  test('moves, and goes when there is no such checkpoint', async () => {
    const run = runWith(1, 2)
    await markBest(run, 1)
    await markBest(run, 2)
    expect(readFileSync(inside(run, 'best'), 'utf8')).toBe(nameOf(2))
    await markBest(run, 3)
    expect(existsSync(inside(run, 'best'))).toBe(false)
    expect(await bestCheckpoint(run)).toBeNull()
  })

  test('that names something outside is not followed', async () => {
    const run = runWith(1)
    writeFileSync(inside(run, 'best'), '../../elsewhere')
    expect(await bestCheckpoint(run)).toBeNull()
  })
})

function rewrite(path: string, from: string, to: string): void {
  writeFileSync(path, readFileSync(path, 'utf8').replace(from, to))
}

function flipBit(path: string): void {
  const content = readFileSync(path)
  content[content.length >> 1]! ^= 1
  writeFileSync(path, content)
}
