import { describe, expect, test } from 'vitest'
import { cropMask, cropScan, cropStart, innerExtent, runsOf } from '../../src/readers/crop.js'
import { applyAffine, invertAffine } from '../../src/volume/geometry.js'
import type { Affine, Vec3 } from '../../src/volume/volume.js'

/** Axes reversed and exchanged, 1.5 x 1.5 x 2 mm. */
const AFFINE: Affine = [0, -1.5, 0, 30, 1.5, 0, 0, -20, 0, 0, 2, -10, 0, 0, 0, 1]
const SHAPE: Vec3 = [24, 28, 20]
const GRID = { shape: [12, 10, 8] as const, spacingMm: 1 }

/** A scan whose value is a linear function of the position. */
const valueAt = ([x, y, z]: Vec3): number => 3 * x - 2 * y + 5 * z

function scan() {
  const data = new Float32Array(SHAPE[0] * SHAPE[1] * SHAPE[2])
  for (let i = 0, at = 0; i < SHAPE[0]; i++)
    for (let j = 0; j < SHAPE[1]; j++)
      for (let k = 0; k < SHAPE[2]; k++, at++) data[at] = valueAt(applyAffine(AFFINE, [i, j, k]))
  return { data, shape: SHAPE, affine: AFFINE }
}

describe('a crop of a reader study', () => {
  test('has the value of each position, with right as the fastest axis', () => {
    const start: Vec3 = [0.3, -10.2, 1.7]
    const voxels = cropScan(scan(), start, GRID)
    for (const [i, j, k] of [
      [0, 0, 0],
      [11, 9, 7],
      [5, 3, 2],
    ] as const) {
      const expected = valueAt([start[0] + i, start[1] + j, start[2] + k])
      expect(Math.abs(voxels[i + 12 * (j + 10 * k)]! - expected)).toBeLessThanOrEqual(0.501)
    }
  })

  test('clips HU to the range of CT', () => {
    const bright = { ...scan(), data: scan().data.map((value) => value * 1e4) }
    const voxels = cropScan(bright, [0, -10, 2], GRID)
    expect(Math.max(...voxels)).toBe(3071)
    expect(Math.min(...voxels)).toBeGreaterThanOrEqual(-1024)
  })

  test('lies inside the scan around the displaced target', () => {
    const extent = innerExtent({ shape: SHAPE, affine: AFFINE })!
    expect(extent).toEqual([
      [-10.5, -20, -10],
      [30, 14.5, 28],
    ])
    expect(cropStart(extent, GRID, [5, 0, 4], [1, 0, -1])).toEqual([0.5, -4.5, -0.5])
    // at the border, the crop moves inwards
    expect(cropStart(extent, GRID, [30, 0, 4], [5, 0, 0])![0]).toBe(19)
    expect(cropStart(extent, { ...GRID, shape: [60, 10, 8] }, [5, 0, 4], [0, 0, 0])).toBeNull()
  })

  test('finds the mask of a tumor at its position', () => {
    const label = { data: new Uint8Array(SHAPE[0] * SHAPE[1] * SHAPE[2]), shape: SHAPE, affine: AFFINE }
    const [i, j, k] = [12, 10, 8]
    const at = (i * SHAPE[1] + j) * SHAPE[2] + k
    label.data[at] = 1
    const mm = applyAffine(AFFINE, [i, j, k])
    const start: Vec3 = [mm[0] - 4, mm[1] - 3, mm[2] - 2]
    const mask = cropMask(label, start, GRID, (voxel) => voxel === at)
    expect(mask[4 + 12 * (3 + 10 * 2)]).toBe(1)
    const runs = runsOf(mask)
    expect(runs.filter((_, n) => n % 2 === 1).reduce((sum, one) => sum + one, 0)).toBe(
      mask.filter((one) => one === 1).length,
    )
  })

  test('is refused for an oblique scan', () => {
    const [c, s] = [Math.cos(0.3), Math.sin(0.3)]
    const affine = [c, -s, 0, 0, s, c, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    expect(invertAffine(affine)).toHaveLength(16)
    expect(innerExtent({ shape: SHAPE, affine })).toBeNull()
  })
})
