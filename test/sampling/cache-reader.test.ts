import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import {
  closePreparedCase,
  countVoxels,
  type OpenCase,
  openPreparedCase,
  readCrop,
  type VoxelClass,
  voxelOfRank,
} from '../../src/sampling/cache-reader.js'
import { openCaseGroup } from '../../src/sampling/case-group.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { makeVoxels, writePreparedCase } from './prepared-case-files.js'

const GOLDEN = join(import.meta.dirname, '../fixtures/prepared')
const SHAPE: Vec3 = [20, 18, 35]
const LOWER_HU = -175
// What generate.py wrote, by its formula.
const golden = makeVoxels(SHAPE, (x, y, z) => [
  x * 100 + y * 7 - z * 30 - 300,
  (x > 8 ? 1 : 0) + (x > 12 && z > 20 ? 1 : 0),
])

let directory: string
const open: OpenCase[] = []
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'freetumor-cache-'))
})
afterEach(() => {
  for (const prepared of open.splice(0)) closePreparedCase(prepared)
  rmSync(directory, { recursive: true, force: true })
})

async function opened(path: string): Promise<OpenCase> {
  const prepared = await openPreparedCase({ caseId: 'a case', path }, LOWER_HU)
  open.push(prepared)
  return prepared
}

describe('a case written by Python', () => {
  test.each<[string, Vec3, Vec3]>([
    ['inside', [3, 4, 5], [9, 8, 20]],
    ['the whole volume', [0, 0, 0], SHAPE],
    ['full rows', [2, 0, 0], [5, 18, 35]],
    ['at the far corner', [12, 10, 27], [8, 8, 8]],
    ['over every face', [-3, -2, -1], [26, 24, 40]],
    ['over one corner', [15, 12, 30], [16, 16, 16]],
  ])('a crop %s is the slice of the array, with air around', async (_, start, size) => {
    const prepared = await opened(join(GOLDEN, 'golden.zarr'))
    expect(prepared.shape).toEqual(SHAPE)
    const crop = readCrop(prepared, start, size)
    const expected = makeVoxels(size, (x, y, z) => {
      const at = [x + start[0], y + start[1], z + start[2]] as const
      if (at.some((index, axis) => index < 0 || index >= SHAPE[axis]!)) return [LOWER_HU, 0]
      const offset = (at[0] * SHAPE[1] + at[1]) * SHAPE[2] + at[2]
      return [golden.image[offset]!, golden.label[offset]!]
    })
    expect(crop.image).toEqual(expected.image)
    expect(crop.label).toEqual(expected.label)
  })

  test.each<[string, VoxelClass]>([
    ['one label', { labels: [2], tissue: false }],
    ['several labels', { labels: [1, 2], tissue: false }],
    ['tissue without a label', { labels: [], tissue: true }],
    ['tissue and a label', { labels: [1], tissue: true }],
  ])('every voxel of %s has one rank', async (_, wanted) => {
    const prepared = await opened(join(GOLDEN, 'golden.zarr'))
    const expected: string[] = []
    makeVoxels(SHAPE, (x, y, z) => {
      const offset = (x * SHAPE[1] + y) * SHAPE[2] + z
      const id = golden.label[offset]!
      if (id === 0 ? wanted.tissue && golden.image[offset]! > LOWER_HU : wanted.labels.includes(id))
        expected.push(`${x},${y},${z}`)
      return [0, 0]
    })
    expect(expected.length).toBeGreaterThan(100)
    expect(countVoxels(prepared, wanted)).toBe(expected.length)
    const found: string[] = []
    for (let rank = 0; rank < expected.length; rank++) found.push(voxelOfRank(prepared, wanted, rank).join())
    expect(new Set(found).size).toBe(expected.length)
    expect(new Set(found)).toEqual(new Set(expected))
  })
})

test('a case written by hand in the layout of the cache reads equally', async () => {
  const path = writePreparedCase(directory, 'mine', golden, 3, [LOWER_HU, 250])
  const mine = await opened(path)
  const theirs = await opened(join(GOLDEN, 'golden.zarr'))
  expect(mine.blockCounts).toEqual(theirs.blockCounts)
  expect(readCrop(mine, [1, 2, 3], [10, 10, 10])).toEqual(readCrop(theirs, [1, 2, 3], [10, 10, 10]))
})

test('a label without voxels counts nothing', async () => {
  const prepared = await opened(join(GOLDEN, 'golden.zarr'))
  expect(countVoxels(prepared, { labels: [5], tissue: false })).toBe(0)
})

describe('an invalid case is refused by name', () => {
  const refused = async (path: string, message: RegExp, lowerHu = LOWER_HU) => {
    const failure = await openPreparedCase({ caseId: 'liver_7', path }, lowerHu).catch(
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(DataError)
    expect((failure as DataError).message).toMatch(message)
    expect((failure as DataError).hint).toMatch(/prepare/)
  }
  const copy = () => {
    const path = join(directory, 'golden.zarr')
    cpSync(join(GOLDEN, 'golden.zarr'), path, { recursive: true })
    return path
  }

  test('when it is missing', () => refused(join(directory, 'none.zarr'), /case liver_7: .*none\.zarr/))
  test('when it was prepared for another intensity window', () =>
    refused(join(GOLDEN, 'golden.zarr'), /case liver_7: .*expected from -1000 HU, found -175/, -1000))
  test('when a file is truncated', async () => {
    const path = copy()
    truncateSync(join(path, 'label/c/0/0/0'), 100)
    await refused(path, /case liver_7: .*label.*wrong size .expected 12600 bytes, found 100/)
  })
  test('when an array is missing', async () => {
    const path = copy()
    rmSync(join(path, 'index'), { recursive: true })
    await refused(path, /case liver_7: .*array index not found/)
  })
  test('when it is of another format', async () => {
    const path = copy()
    const attributes = { freetumor: { version: 9 } }
    writeFileSync(join(path, 'zarr.json'), JSON.stringify({ zarr_format: 3, node_type: 'group', attributes }))
    await refused(path, /case liver_7: .*wrong format .expected 2 or 3, found 9/)
  })
  test('when it lies in the place of another case', async () => {
    const path = join(directory, 'other.zarr')
    cpSync(join(GOLDEN, 'golden.zarr'), path, { recursive: true })
    await refused(path, /case liver_7: .*wrong case .found golden/)
  })
  test('when another command has replaced it', async () => {
    const group = { caseId: 'liver_7', path: join(GOLDEN, 'golden.zarr') }
    await openCaseGroup(group)
    await expect(openCaseGroup({ ...group, content: 'f'.repeat(64) })).rejects.toMatchObject({
      message: expect.stringMatching(/case liver_7: .*replaced since it was prepared/),
      hint: expect.stringMatching(/prepare\.cache/),
    })
  })
  test('when it has no checksums, as earlier versions wrote it', async () => {
    const path = copy()
    rmSync(join(path, 'checksums'), { recursive: true })
    await refused(path, /case liver_7: .*array checksums not found/)
  })
  test.each([
    'zarr.json',
    'image/zarr.json',
    'label/zarr.json',
    'index/zarr.json',
    'checksums/zarr.json',
    'checksums/c/0',
    'index/c/0/0/0/0',
  ])('when any bit of %s has changed', async (name) => {
    const path = copy()
    const { length } = readFileSync(join(path, name))
    for (let bit = 0; bit < 8 * length; bit += 8 * Math.ceil(length / 12) - 1) {
      flipBit(join(path, name), bit)
      await refused(path, /case liver_7: .*golden\.zarr/)
      flipBit(join(path, name), bit)
    }
  })
})

function flipBit(file: string, bit: number): void {
  const content = readFileSync(file)
  content[bit >> 3]! ^= 1 << (bit & 7)
  writeFileSync(file, content)
}

describe('voxels that have changed since the case was prepared', () => {
  // Plane 7, row 17, column 30: the second slab of the plane.
  const byte = (7 * 18 + 17) * 35 + 30
  const damaged = (name: 'image' | 'label') => {
    const path = join(directory, 'golden.zarr')
    cpSync(join(GOLDEN, 'golden.zarr'), path, { recursive: true })
    flipBit(join(path, name, 'c/0/0/0'), 8 * byte * (name === 'image' ? 2 : 1) + 3)
    return path
  }

  test.each(['image', 'label'] as const)(
    'are not read from %s, and nothing else is refused',
    async (name) => {
      const prepared = await opened(damaged(name))
      const refused = () => readCrop(prepared, [4, 10, 0], [8, 8, 8])
      expect(refused).toThrow(DataError)
      expect(refused).toThrow(
        /case a case: .*golden\.zarr: damaged since the case was prepared: (image|label): plane 7, rows 16 to 17$/,
      )
      expect(() => readCrop(prepared, [4, 10, 0], [3, 8, 8])).not.toThrow()
      expect(() => readCrop(prepared, [4, 0, 0], [8, 16, 35])).not.toThrow()
    },
  )

  test('are detected when they change while the case is open', async () => {
    const path = join(directory, 'golden.zarr')
    cpSync(join(GOLDEN, 'golden.zarr'), path, { recursive: true })
    // A file system's clock is coarse: without this the change may have the time of the copy.
    utimesSync(join(path, 'label/c/0/0/0'), 0, 0)
    const prepared = await opened(path)
    const whole = () => readCrop(prepared, [0, 0, 0], SHAPE)
    expect(whole()).toEqual(whole())
    flipBit(join(path, 'label/c/0/0/0'), 8 * byte)
    expect(whole).toThrow(/label: plane 7, rows 16 to 17$/)
  })
})
