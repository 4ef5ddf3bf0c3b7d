import { describe, expect, it } from 'vitest'
import { openCaseGroup } from '../../src/sampling/case-group.js'
import { readRegion } from '../../src/sampling/region.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { makeVoxels, writePreparedCase } from './prepared-case-files.js'

/** The published rule for the first voxel, of the first and last labelled slice of an axis. */
function publishedStart(first: number, last: number): number {
  const length = last - first
  return length < 96 ? Math.max(0, first - Math.floor((96 - length) / 2)) : first
}
