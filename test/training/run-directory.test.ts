import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  makeRunDirectory,
  newRunId,
  readExit,
  refuseExistingRun,
  writeExit,
} from '../../src/training/run-directory.js'
import { temporaryFolder } from '../helpers/temporary.js'

describe('a run directory', () => {
  test('is created once: a second run is refused with the way to resume', async () => {
    const directory = await makeRunDirectory(join(temporaryFolder(), 'deep', 'run'))
    expect(readdirSync(directory)).toEqual(['logs'])
    writeFileSync(join(directory, 'config.resolved.yaml'), '')
    // on a shared disk, another node may write the configuration before node 0 starts
    await refuseExistingRun(directory)
    writeFileSync(join(directory, 'version.json'), '')
    await expect(refuseExistingRun(directory)).rejects.toMatchObject({
      code: 'usage',
      commandHint: expect.stringContaining('--resume'),
      hint: expect.stringContaining('choose another out'),
    })
  })

  test('that cannot be made is an error that names it', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'run'), 'a file')
    await expect(makeRunDirectory(join(folder, 'run'))).rejects.toMatchObject({
      code: 'environment',
      message: expect.stringContaining(join(folder, 'run')),
    })
  })

  test('reports how its run ended, or nothing', async () => {
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
