import { cpSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DataError } from '../../src/errors.js'
import { BloscError, decodeBlosc } from '../../src/sampling/blosc.js'
import { closePreparedCase, openPreparedCase, readCrop } from '../../src/sampling/cache-reader.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { temporaryFolder } from '../helpers/temporary.js'
import { makeVoxels } from './prepared-case-files.js'

const CASE = join(import.meta.dirname, '../fixtures/prepared/compressed.zarr')
const LOWER_HU = -175
const SHAPE: Vec3 = [70, 40, 45]
/** The formula of generate.py. */
const value = (x: number, y: number, z: number): readonly [number, number] => [
  ((x * 37 + y * 91 + z * 53) % 211) + x * y - z * 20,
  (x > 40 ? 1 : 0) + (x > 50 && z > 20 && y % 7 === 0 ? 1 : 0),
]

function copied(): string {
  const path = join(temporaryFolder(), 'compressed.zarr')
  cpSync(CASE, path, { recursive: true })
  return path
}

const opened = (path: string) => openPreparedCase({ caseId: 'a case', path }, LOWER_HU)

describe('a compressed case that Python wrote', () => {
  test.each<[string, Vec3, Vec3]>([
    ['the whole volume', [0, 0, 0], SHAPE],
    ['inside one chunk', [33, 2, 3], [5, 6, 7]],
    ['over a corner of eight chunks', [30, 30, 30], [5, 5, 5]],
    ['at the far corner', [60, 30, 40], [10, 10, 5]],
    ['over every face', [-2, -1, -3], [75, 44, 50]],
    ['of one voxel', [32, 32, 32], [1, 1, 1]],
  ])('has the voxels of the array in a crop %s', async (_, start, size) => {
    const prepared = await opened(CASE)
    const crop = readCrop(prepared, start, size)
    closePreparedCase(prepared)
    const expected = makeVoxels(size, (x, y, z) => {
      const at: Vec3 = [x + start[0], y + start[1], z + start[2]]
      return at.some((index, axis) => index < 0 || index >= SHAPE[axis]!) ? [LOWER_HU, 0] : value(...at)
    })
    expect(crop.image).toEqual(expected.image)
    expect(crop.label).toEqual(expected.label)
  })
})

describe('damage of a compressed case is one error that names case and place', () => {
  const file = (path: string) => join(path, 'image/c/0/0/0')
  const failure = async (path: string): Promise<unknown> => {
    try {
      const prepared = await opened(path)
      try {
        return readCrop(prepared, [0, 0, 0], [40, 10, 10])
      } finally {
        closePreparedCase(prepared)
      }
    } catch (error) {
      return error
    }
  }

  test.each<[string, RegExp, (path: string) => void]>([
    [
      'a flipped bit of a chunk',
      /image: chunk at voxel 0,0,0/,
      (path) => {
        const content = readFileSync(file(path))
        content[100]! ^= 16
        writeFileSync(file(path), content)
      },
    ],
    [
      'a flipped bit of the index',
      /image: its index/,
      (path) => {
        const content = readFileSync(file(path))
        content[content.length - 50]! ^= 1
        writeFileSync(file(path), content)
      },
    ],
    ['a truncated file', /image: its index/, (path) => truncateSync(file(path), 500)],
    ['an empty file', /image: wrong size/, (path) => truncateSync(file(path), 0)],
  ])('%s', async (_, message, damage) => {
    const path = copied()
    damage(path)
    const error = await failure(path)
    expect(error).toBeInstanceOf(DataError)
    expect((error as DataError).message).toMatch(/case a case: /)
    expect((error as DataError).message).toMatch(message)
    expect((error as DataError).hint).toMatch(/freetumor prepare/)
  })

  test('a damage far from the crop is not read', async () => {
    const path = copied()
    const content = readFileSync(file(path))
    // the last chunk lies in front of the index: 3 x 2 x 2 entries and a checksum
    content[content.length - (12 * 16 + 4) - 5]! ^= 1
    writeFileSync(file(path), content)
    expect(await failure(path)).toHaveProperty('image')
  })
})

test('no damage of a chunk makes the decoder write elsewhere or fail with another error', () => {
  const content = readFileSync(join(CASE, 'image/c/0/0/0'))
  const chunk = content.subarray(0, content.readUInt32LE(12))
  const target = new Uint8Array(32 ** 3 * 2)
  const decode = (bytes: Uint8Array) => decodeBlosc(bytes, target)
  decode(chunk)
  let refused = 0
  for (let at = 0; at < 3000; at++) {
    const damaged = Uint8Array.from(chunk)
    damaged[(at * 7919) % chunk.length]! ^= 1 << (at % 8)
    try {
      decode(at % 3 === 0 ? damaged.subarray(0, (at * 104729) % chunk.length) : damaged)
    } catch (error) {
      expect(error).toBeInstanceOf(BloscError)
      refused++
    }
  }
  expect(refused).toBeGreaterThan(1000)
})
