import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LimitFiles, threadsOf, usableProcessors } from '../src/usable-processors.js'
import { temporaryFolder } from './helpers/temporary.js'

/** Write the files of control groups: by path, below their mount point. */
function groups(membership: string, files: Record<string, string>): LimitFiles {
  const folder = temporaryFolder()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, 'groups', path, '..'), { recursive: true })
    writeFileSync(join(folder, 'groups', path), text)
  }
  writeFileSync(join(folder, 'membership'), membership)
  return { membership: join(folder, 'membership'), groups: join(folder, 'groups') }
}

describe('the usable processors are', () => {
  test.each<[string, number, string, Record<string, string>]>([
    ['those of the system without control groups', 8, '', {}],
    ['those of the system without a quota', 8, '0::/a\n', { 'a/cpu.max': 'max 100000\n' }],
    ['the quota, rounded down', 2, '0::/a\n', { 'a/cpu.max': '250000 100000\n' }],
    ['at least 1', 1, '0::/\n', { 'cpu.max': '50000 100000\n' }],
    [
      'the smallest quota of all parents',
      3,
      '0::/a/b\n',
      { 'a/b/cpu.max': 'max 100000', 'a/cpu.max': '300000 100000' },
    ],
    ['not more than the system has', 8, '0::/a\n', { 'a/cpu.max': '6400000 100000\n' }],
    [
      'the quota of version 1',
      4,
      '4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n',
      { 'cpu,cpuacct/cpu.cfs_quota_us': '400000\n', 'cpu,cpuacct/cpu.cfs_period_us': '100000\n' },
    ],
    [
      'those of the system where version 1 has no quota',
      8,
      '4:cpu:/\n',
      { 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' },
    ],
  ])('%s', (_, processors, membership, files) => {
    expect(usableProcessors(8, groups(membership, files)).processors).toBe(processors)
  })
})

test('auto shares the usable processors among the processes of a node, with its reason', () => {
  const usable = usableProcessors(8, groups('0::/a\n', { 'a/cpu.max': '600000 100000\n' }))
  expect(threadsOf({ threadsPerProcess: 'auto', processesPerNode: 2 }, usable)).toEqual({
    threads: 3,
    reason:
      'runtime.threadsPerProcess: auto is 3 (quota of 6 of 8 processors in the control group, processes: 2)',
  })
  expect(threadsOf({ threadsPerProcess: 'auto', processesPerNode: 16 }, usable).threads).toBe(1)
  expect(threadsOf({ threadsPerProcess: 5, processesPerNode: 2 }, usable)).toEqual({
    threads: 5,
    reason: null,
  })
})
