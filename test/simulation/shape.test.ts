import { describe, expect, it } from 'vitest'
import { openStream } from '../../src/simulation/random.js'
import { boxShapeOf, type PlacedMask, type WarpControls, warpEllipsoid } from '../../src/simulation/shape.js'
import { drawRadii } from '../../src/simulation/size.js'
import { drawWarpControl } from '../../src/simulation/warp.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { PLANES, warpMask } from './warp-by-voxel.js'

const still = (): Float64Array => new Float64Array(18)

function wholeOf(radii: Vec3) {
  return { low: [0, 0, 0] as Vec3, high: boxShapeOf(radii) }
}

/** The mask in a box of the given shape. */
function unfold(mask: PlacedMask | null, shape: Vec3): Uint8Array {
  const out = new Uint8Array(shape[0] * shape[1] * shape[2])
  if (mask === null) return out
  const { data, shape: size } = mask.box
  const [ox, oy, oz] = mask.origin
  for (let x = 0, at = 0; x < size[0]; x++)
    for (let y = 0; y < size[1]; y++)
      for (let z = 0; z < size[2]; z++, at++)
        out[((ox + x) * shape[1] + oy + y) * shape[2] + oz + z] = data[at]!
  return out
}

describe('the warped ellipsoid', () => {
  it('without a field contains the voxels strictly inside the ellipsoid around voxel 2 r', () => {
    const radii = [3, 4, 5] as const
    const shape = boxShapeOf(radii)
    const data = unfold(warpEllipsoid(radii, [still(), still(), still()], wholeOf(radii)), shape)
    expect(shape).toEqual([12, 16, 20])
    for (let v = 0; v < data.length; v++) {
      const [i, j, k] = [Math.floor(v / 320), Math.floor(v / 20) % 16, v % 20]
      const isInside = ((i - 6) / 3) ** 2 + ((j - 8) / 4) ** 2 + ((k - 10) / 5) ** 2 < 1
      expect(data[v]).toBe(isInside ? 1 : 0)
    }
  })

  it('equals three warps voxel by voxel, one after another', () => {
    const random = openStream(['shape'])
    for (let tumor = 0; tumor < 60; tumor++) {
      const radii = drawRadii([2 + (tumor % 9), 2 + (tumor % 9), 2 + (tumor % 9)], random)
      const sigma = random.uniformIn(0.5, 4)
      const control = () => drawWarpControl([sigma, sigma], random)
      const controls: WarpControls = [control(), control(), control()]
      const shape = boxShapeOf(radii)
      const start = {
        data: unfold(warpEllipsoid(radii, [still(), still(), still()], wholeOf(radii)), shape),
        shape,
      }
      const expected = PLANES.reduce((mask, plane, at) => warpMask(mask, plane, controls[at]!), start)
      const ours = unfold(warpEllipsoid(radii, controls, wholeOf(radii)), shape)
      expect(Buffer.compare(ours, expected.data), `radii ${radii}`).toBe(0)
    }
  })

  it.each([
    [0, [0, 1]],
    [1, [1, 2]],
    [2, [0, 2]],
  ] as const)('warp %i moves along the axes %j: out(v) = in(v + d)', (warp, axes) => {
    const radii = [6, 6, 6] as const
    const controls = [still(), still(), still()] as const
    controls[warp].fill(2, 0, 9).fill(-3, 9)
    const moved = warpEllipsoid(radii, controls, wholeOf(radii))!
    const origin = [7, 7, 7]
    origin[axes[0]]! -= 2
    origin[axes[1]]! += 3
    expect(moved.origin).toEqual(origin)
    expect(moved.box.shape).toEqual([11, 11, 11])
  })

  it('is null if the field pushes all of it out of the box', () => {
    const away = still().fill(100)
    const radii = [5, 6, 7] as const
    expect(warpEllipsoid(radii, [still(), away, still()], wholeOf(radii))).toBeNull()
  })

  it('of a part of the box equals that part of the whole, trimmed to its bounding box', () => {
    const radii = [5, 6, 7] as const
    const shape = boxShapeOf(radii)
    const bent = (phase: number) =>
      Float64Array.from({ length: 18 }, (_, at) => 3 * Math.sin(at * 2.3 + phase))
    const controls: WarpControls = [bent(0), bent(1), bent(2)]
    const whole = unfold(warpEllipsoid(radii, controls, wholeOf(radii)), shape)
    const part = { low: [3, 9, 0], high: [14, 20, 13] } as const
    const mask = warpEllipsoid(radii, controls, part)!
    const isWanted = (i: number, j: number, k: number) =>
      [i, j, k].every((at, axis) => at >= part.low[axis]! && at < part.high[axis]!)
    const expected = whole.map((value, v) =>
      isWanted(Math.floor(v / 672), Math.floor(v / 28) % 24, v % 28) ? value : 0,
    )
    expect(unfold(mask, shape)).toEqual(expected)
    for (const axis of [0, 1, 2] as const)
      for (const end of [0, mask.box.shape[axis] - 1]) expect(countPlane(mask, axis, end)).toBeGreaterThan(0)
    expect(warpEllipsoid(radii, controls, { low: [0, 0, 5], high: [20, 24, 5] })).toBeNull()
  })

  it('returns its own memory, which a later tumor does not change', () => {
    const radii = [5, 6, 7] as const
    const first = warpEllipsoid(radii, [still(), still(), still()], wholeOf(radii))!
    const before = first.box.data.slice()
    warpEllipsoid([9, 9, 9], [still().fill(2), still(), still()], wholeOf([9, 9, 9]))
    expect(first.box.data).toEqual(before)
  })
})

/** Voxels in one plane of the box across `axis`. */
function countPlane({ box: { data, shape } }: PlacedMask, axis: 0 | 1 | 2, place: number): number {
  let count = 0
  for (let x = 0, at = 0; x < shape[0]; x++)
    for (let y = 0; y < shape[1]; y++)
      for (let z = 0; z < shape[2]; z++, at++) if ([x, y, z][axis] === place) count += data[at]!
  return count
}
