import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  makeRunDirectory,
  newRunId,
  readExit,
  refuseExistingRun,
  sweepUnfinished,
  writeExit,
  writeWhole,
} from '../../src/training/run-directory.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('a small file', () => {
  test('takes the place of the old one at once, and nothing lies beside it', async () => {
    const folder = temporaryFolder()
    await writeWhole(join(folder, 'plan.json'), 'old')
    await writeWhole(join(folder, 'plan.json'), 'new')
    expect(readFileSync(join(folder, 'plan.json'), 'utf8')).toBe('new')
    expect(readdirSync(folder)).toEqual(['plan.json'])
  })

  test('whose rename fails leaves nothing beside it, and the error names the file', async () => {
    const folder = temporaryFolder()
    // no file can take the place of a folder that holds something
    mkdirSync(join(folder, 'plan.json', 'inner'), { recursive: true })
    const path = join(folder, 'plan.json')
    await expect(writeWhole(path, 'text')).rejects.toMatchObject({
      code: 'environment',
      message: expect.stringContaining(path),
    })
    expect(readdirSync(folder)).toEqual(['plan.json'])
  })

  test('in a folder that does not exist is an error with its path', async () => {
    const path = join(temporaryFolder(), 'gone', 'exit.json')
    await expect(writeWhole(path, 'text')).rejects.toMatchObject({
      code: 'environment',
      message: `${path} cannot be written: ENOENT`,
    })
  })

  test('that cannot be written for lack of space says so', async () => {
    // the file that is always full, under the name that is written aside
    const folder = temporaryFolder()
    symlinkSync('/dev/full', join(folder, `exit.json.tmp.${process.pid}`))
    await expect(writeWhole(join(folder, 'exit.json'), 'text')).rejects.toMatchObject({
      message: expect.stringContaining('ENOSPC'),
      hint: 'free space on that disk',
    })
    expect(readdirSync(folder)).toEqual([])
  })
})

describe('a run directory', () => {
  test('is made once: a second run is refused with the way to go on', async () => {
    const directory = await makeRunDirectory(join(temporaryFolder(), 'deep', 'run'))
    expect(readdirSync(directory)).toEqual(['logs'])
    writeFileSync(join(directory, 'config.resolved.yaml'), '')
    await expect(refuseExistingRun(directory)).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('--resume'),
    })
  })

  test('that cannot be made is an error that names it', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'run'), 'a file')
    await expect(makeRunDirectory(join(folder, 'run'))).rejects.toMatchObject({
      code: 'config',
      message: expect.stringContaining(join(folder, 'run')),
    })
  })

  test('is swept of what killed writers left, and of nothing else', async () => {
    const folder = temporaryFolder()
    for (const name of ['exit.json.tmp.12', 'events.jsonl.tmp', 'events.jsonl', 'notes.tmpl', 'a.tmp.x'])
      writeFileSync(join(folder, name), '')
    mkdirSync(join(folder, 'step_00000001.tmp.9', 'inner'), { recursive: true })
    await sweepUnfinished(folder)
    expect(readdirSync(folder).sort()).toEqual(['a.tmp.x', 'events.jsonl', 'notes.tmpl'])
    await sweepUnfinished(join(folder, 'nowhere'))
  })

  test('tells how its run ended, or nothing', async () => {
    const folder = temporaryFolder()
    expect(await readExit(folder)).toBeNull()
    const record = { outcome: 'stopped', reason: 'stop', step: 4, exitCode: 75 } as const
    await writeExit(folder, record)
    expect(await readExit(folder)).toEqual(record)
  })
})

test('ids of runs sort by time and differ within a second', () => {
  const ids = [newRunId(new Date('2026-01-02T03:04:05.678Z')), newRunId(new Date('2026-01-02T03:04:06Z'))]
  expect(ids[0]).toMatch(/^20260102T030405Z-[0-9a-f]{4}$/)
  expect([...ids].sort()).toEqual(ids)
  expect(new Set(Array.from({ length: 20 }, () => newRunId())).size).toBeGreaterThan(1)
})
