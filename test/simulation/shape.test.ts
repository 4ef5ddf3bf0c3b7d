import { describe, expect, it } from 'vitest'
import { type BoxMask, ellipsoidBox, extentOf, type WarpControl, warp } from '../../src/simulation/shape.js'
import { readNpz } from '../helpers/npz.js'
import { sharedFile } from '../helpers/shared.js'

const fixture = sharedFile('parity/warp_20x24x28.npz')
const count = (mask: BoxMask): number => mask.data.reduce((sum, value) => sum + value, 0)

describe('ellipsoidBox', () => {
  it('holds the voxels strictly inside the ellipsoid about voxel 2 r', () => {
    const radii = [3, 4, 5] as const
    const { data, shape } = ellipsoidBox(radii)
    expect(shape).toEqual([12, 16, 20])
    for (let v = 0; v < data.length; v++) {
      const [i, j, k] = [Math.floor(v / 320), Math.floor(v / 20) % 16, v % 20]
      const inside = ((i - 6) / 3) ** 2 + ((j - 8) / 4) ** 2 + ((k - 10) / 5) ** 2 < 1
      expect(data[v]).toBe(inside ? 1 : 0)
    }
  })
})

describe('warp', () => {
  it.skipIf(fixture === null)('meets the published masks voxel by voxel, each on the one before', () => {
    const arrays = readNpz(fixture!)
    const control = arrays.get('control')!
    const input = arrays.get('input')!
    let mask: BoxMask = { data: Uint8Array.from(input.data as Uint8Array), shape: input.shape as never }
    ;['after_01', 'after_12', 'after_02'].forEach((name, at) => {
      const values = Float64Array.from(control.data as Float64Array).subarray(18 * at, 18 * at + 18)
      mask = warp(mask, values, at as 0 | 1 | 2)
      const expected = Uint8Array.from(arrays.get(name)!.data as Uint8Array)
      expect(Buffer.compare(mask.data, expected), name).toBe(0)
    })
  })

  it('changes nothing without a field and empties a mask that is pushed out', () => {
    const ball = ellipsoidBox([5, 6, 7])
    for (const plane of [0, 1, 2] as const) {
      expect(warp(ball, new Float64Array(18), plane).data).toEqual(ball.data)
      expect(count(warp(ball, new Float64Array(18).fill(100), plane))).toBe(0)
    }
  })

  it('shifts by a constant field: out(v) = in(v + d)', () => {
    const ball = ellipsoidBox([5, 5, 5])
    const shift: WarpControl = new Float64Array(18).fill(3, 0, 9)
    const [x] = extentOf(ball)!
    expect(extentOf(warp(ball, shift, 0))![0]).toEqual([x[0] - 3, x[1] - 3])
  })
})

describe('extentOf', () => {
  it('is null for an empty mask and tight for any other', () => {
    expect(extentOf({ data: new Uint8Array(27), shape: [3, 3, 3] })).toBeNull()
    const one = new Uint8Array(60)
    one[(1 * 4 + 2) * 5 + 3] = 1
    one[(2 * 4 + 0) * 5 + 4] = 1
    expect(extentOf({ data: one, shape: [3, 4, 5] })).toEqual([
      [1, 2],
      [0, 2],
      [3, 4],
    ])
  })
})
