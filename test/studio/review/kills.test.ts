import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { packageRoot } from '../../../src/runtime/python.js'

test('a killed server loses no decision that it acknowledged', async () => {
  const campaign = join(packageRoot, 'scripts/faults/studio.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [campaign, '--kills', '2', '--seed', '7'])
  const report = JSON.parse(stdout) as Record<string, number>
  expect(report).toMatchObject({ kills: 2, lost: 0, repeated: 0 })
  expect(report.acknowledged).toBeGreaterThan(0)
})
