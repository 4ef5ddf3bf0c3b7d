import { describe, expect, it } from 'vitest'
import { exactHash, wholeHu } from '../../../src/curation/audit/exact-hash.js'
import { makePhantom } from '../../../src/phantom/make.js'
import { moveAxes } from '../../../src/volume/geometry.js'
import type { Volume } from '../../../src/volume/volume.js'
import { diagonal, filled } from '../../helpers/nifti-fixtures.js'
import { allMoves, middlePart, retyped } from '../../helpers/scan-copies.js'

const phantom = makePhantom({ region: 'abdomen', index: 0, seed: 3, sizeVoxels: 24, tumors: true }).image
const slab = middlePart(phantom, [1, 0.5, 0.75])
const hashOf = (volume: Volume) => exactHash(wholeHu(volume))

describe('exactHash', () => {
  it.each([
    ['a cube', phantom],
    ['a slab', slab],
    ['a constant', filled(Int16Array, [3, 3, 3], () => 7)],
    [
      'a volume that mirrors itself',
      filled(Int16Array, [5, 5, 4], (i, j, k) => (i - 2) ** 2 + (j - 2) ** 2 + 7 * k),
    ],
    ['one whose slices all have one sum', filled(Int16Array, [4, 4, 4], (i, j, k) => (i + j + k) % 4)],
    [
      'one that only single voxels tell apart',
      filled(Int16Array, [4, 4, 4], (i, j, k) => ((i + j + k) % 4) + 10 * ((i + 2 * j + 3 * k) % 4)),
    ],
  ])('is the same for all 48 orientations of %s', (_, volume) => {
    const hashes = new Set(allMoves().map((moves) => hashOf(moveAxes(volume, moves))))
    expect(hashes.size).toBe(1)
  })

  it('ignores header, spacing and data type', () => {
    const wanted = hashOf(phantom)
    expect(hashOf({ ...phantom, affine: diagonal([1, 1, 1]) })).toBe(wanted)
    const copies = [
      retyped(phantom, Int32Array),
      retyped(phantom, Float32Array),
      retyped(phantom, Float64Array),
    ]
    for (const copy of copies) expect(hashOf(copy)).toBe(wanted)
    // what a slope that is no power of two leaves behind
    const inexact = Float32Array.from(phantom.data, (hu) => Math.fround(hu / 0.3) * 0.3)
    expect(hashOf({ ...phantom, data: inexact })).toBe(wanted)
  })

  it('depends on each voxel, each slice, and the numbers', () => {
    const changed = phantom.data.slice()
    changed[5000]! += 1
    expect(hashOf({ ...phantom, data: changed })).not.toBe(hashOf(phantom))
    expect(hashOf(middlePart(phantom, [1, 1, 23 / 24]))).not.toBe(hashOf(phantom))
    expect(hashOf(retyped(phantom, Int16Array, 1024))).not.toBe(hashOf(phantom))
    const reshaped = { ...phantom, shape: [12, 48, 24] as const }
    expect(hashOf(reshaped)).not.toBe(hashOf(phantom))
  })

  it('separates scans in [0, 1]', () => {
    const unit = (more: number) => filled(Float32Array, [3, 4, 5], (i, j, k) => (i + j + k + more) / 20)
    expect(hashOf(unit(0))).not.toBe(hashOf(unit(1)))
    expect(wholeHu(unit(0))).toMatchObject({ thousandths: true })
  })

  it('clips values that are not finite or too large', () => {
    const odd = filled(
      Float32Array,
      [1, 1, 4],
      (_i, _j, k) => [Number.NaN, Number.POSITIVE_INFINITY, -1e9, 12.4][k]!,
    )
    expect([...wholeHu(odd).data]).toEqual([-32768, 32767, -32768, 12])
  })
})
