import { describe, expect, it } from 'vitest'
import { openCaseGroup } from '../../src/sampling/case-group.js'
import { readSubvolume } from '../../src/sampling/subvolume.js'
import { IGNORED_LABEL } from '../../src/volume/labels.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { makeVoxels, writePreparedCase } from './prepared-case-files.js'

/** The published rule for the first voxel, of the first and last labelled slice of an axis. */
function publishedStart(first: number, last: number): number {
  const length = last - first
  return length < 96 ? Math.max(0, first - Math.floor((96 - length) / 2)) : first
}

describe('readRegion', () => {
  it.each([1, 2, 41, 42, 95, 96, 97, 110])(
    'starts like the published script and contains every labelled slice of %i',
    async (length) => {
      const [first, side] = [60, 240]
      const voxels = makeVoxels([side, 3, 3], (x, y, z) => [
        0,
        x >= first && x < first + length && y === 1 && z === 1 ? 1 : 0,
      ])
      const path = writePreparedCase(temporaryFolder(), 'one', voxels, 7, [-175, 250])
      const subvolume = readSubvolume(await openCaseGroup({ caseId: 'one', path }), [96, 96, 96])
      expect(subvolume!.start).toEqual([publishedStart(first, first + length - 1), 0, 0])
      expect(subvolume!.shape).toEqual([Math.max(96, length), 3, 3])
      expect(subvolume!.start[0] + subvolume!.shape[0]).toBeGreaterThanOrEqual(first + length)
    },
  )

  it('does not contain ignored voxels around the labels', async () => {
    const voxels = makeVoxels([60, 20, 20], (x, y, z) => {
      const inside = x >= 10 && x < 50 && y > 2 && y < 9 && z > 4 && z < 17
      return [0, inside ? 1 : IGNORED_LABEL]
    })
    const path = writePreparedCase(temporaryFolder(), 'one', voxels, 7, [-175, 250])
    const subvolume = readSubvolume(await openCaseGroup({ caseId: 'one', path }), [1, 1, 1])
    expect([subvolume!.start, subvolume!.shape]).toEqual([
      [10, 3, 5],
      [40, 6, 12],
    ])
    const alone = makeVoxels([9, 9, 9], () => [0, IGNORED_LABEL])
    const other = writePreparedCase(temporaryFolder(), 'two', alone, 7, [-175, 250])
    expect(readSubvolume(await openCaseGroup({ caseId: 'two', path: other }), [1, 1, 1])).toBeNull()
  })

  it('ends at the faces of the case', async () => {
    const voxels = makeVoxels([30, 30, 30], (x) => [0, x === 2 ? 1 : 0])
    const path = writePreparedCase(temporaryFolder(), 'one', voxels, 7, [-175, 250])
    const subvolume = readSubvolume(await openCaseGroup({ caseId: 'one', path }), [96, 96, 96])
    expect([subvolume!.start, subvolume!.shape]).toEqual([
      [0, 0, 0],
      [30, 30, 30],
    ])
  })
})
