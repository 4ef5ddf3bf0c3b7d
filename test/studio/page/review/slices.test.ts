import { describe, expect, test } from 'vitest'
import {
  extentOf,
  OUTSIDE,
  PLANES,
  type Sight,
  sample,
  scaleBarMm,
  sliceStepMm,
  toMm,
  toPixel,
  valueAt,
} from '../../../../src/studio/page/review/slices.js'
import type { LoadedVolume } from '../../../../src/studio/page/review/volume.js'
import { applyAffine, invertAffine, spacingOf } from '../../../../src/volume/geometry.js'
import type { Affine, Vec3 } from '../../../../src/volume/volume.js'

/** Value of a position in millimetres: linear, so that interpolation is exact. */
const field = ([x, y, z]: Vec3): number => 3 * x - 2 * y + 0.5 * z + 7

function volumeOf(affine: Affine, shape: Vec3): LoadedVolume {
  const voxels = new Float64Array(shape[0] * shape[1] * shape[2])
  for (let k = 0, at = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, at++) voxels[at] = (field(applyAffine(affine, [i, j, k])) - 5) / 2
  const spacingMm = spacingOf(affine)
  return { voxels, shape, affine, toVoxel: invertAffine(affine), spacingMm, slope: 2, inter: 5 }
}

const GRIDS: readonly (readonly [name: string, affine: Affine])[] = [
  ['RAS', [1, 0, 0, -5, 0, 1, 0, -5, 0, 0, 2, -8, 0, 0, 0, 1]],
  ['LPS', [-1, 0, 0, 5, 0, -1, 0, 5, 0, 0, 2, -8, 0, 0, 0, 1]],
  ['axes exchanged and reversed', [0, 0, -1, 5, 2, 0, 0, -8, 0, -1, 0, 5, 0, 0, 0, 1]],
]

describe.each(GRIDS)('a slice of a grid %s', (_, affine) => {
  const volume = volumeOf(affine, [10, 10, 10])

  test.each(PLANES)('$name has the value of each position', (plane) => {
    // on a slice of voxels, since slices are not interpolated
    const through = applyAffine(affine, [4, 4, 4])[plane.through]!
    const centreMm: [number, number, number] = [0, 0, 0]
    centreMm[plane.through] = through
    const sight: Sight = { plane, centreMm, mmPerPixel: 0.5, width: 12, height: 8 }
    const values = new Float32Array(12 * 8)
    sample(volume, sight, values, false)
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 12; x++)
        expect(values[y * 12 + x]).toBeCloseTo(field(toMm(sight, x + 0.5, y + 0.5)), 4)
  })
})

test('pixels outside a volume are marked, and labels are not interpolated', () => {
  const volume = volumeOf(GRIDS[0]![1], [10, 10, 10])
  const sight: Sight = { plane: PLANES[0]!, centreMm: [-5, -5, -8], mmPerPixel: 1, width: 4, height: 4 }
  const values = new Float32Array(16)
  sample(volume, sight, values, true)
  // the patient's right is on the left: the volume ends in the middle
  expect([...values].map((value) => value !== OUTSIDE)).toEqual(
    [...'1110111000000000']
      .map((one) => one === '1')
      .map((_, at) => {
        const [x, y] = [at % 4, Math.floor(at / 4)]
        const mm = toMm(sight, x + 0.5, y + 0.5)
        return mm[0] >= -5.5 && mm[1] >= -5.5
      }),
  )
  const inside = values.filter((value) => value !== OUTSIDE)
  const voxels = new Set([...volume.voxels].map((value) => value * 2 + 5))
  expect([...inside].every((value) => voxels.has(value))).toBe(true)
})

test('the patient is seen from the front and from the feet', () => {
  const seen = (name: string, mm: Vec3): [number, number] => {
    const plane = PLANES.find((one) => one.name === name)!
    return toPixel({ plane, centreMm: [0, 0, 0], mmPerPixel: 1, width: 100, height: 100 }, mm)
  }
  expect(seen('axial', [10, 20, 0])).toEqual([40, 30])
  expect(seen('coronal', [10, 0, 20])).toEqual([40, 30])
  expect(seen('sagittal', [0, 10, 20])).toEqual([40, 30])
})

test('positions and pixels are inverse', () => {
  const sight: Sight = { plane: PLANES[1]!, centreMm: [3, 4, 5], mmPerPixel: 0.7, width: 31, height: 17 }
  expect(toPixel(sight, toMm(sight, 11, 13)).map((one) => Number(one.toFixed(9)))).toEqual([11, 13])
})

test('a value at a position is that of the nearest voxel, null outside', () => {
  const volume = volumeOf(GRIDS[2]![1], [10, 10, 10])
  const mm = applyAffine(volume.affine, [2, 3, 4])
  expect(valueAt(volume, [mm[0] + 0.3, mm[1], mm[2]])).toBeCloseTo(field(mm), 9)
  expect(valueAt(volume, [99, 0, 0])).toBeNull()
})

test('the extent holds whole voxels, and a step is the distance of slices', () => {
  const volume = volumeOf(GRIDS[2]![1], [10, 10, 10])
  expect(extentOf(volume)).toEqual([
    [-4.5, -9, -4.5],
    [5.5, 11, 5.5],
  ])
  expect([0, 1, 2].map((axis) => sliceStepMm(volume, axis))).toEqual([1, 2, 1])
})

test.each([
  [7, 5],
  [49, 20],
  [100, 100],
  [0.9, 0.5],
])('a scale bar of at most %s mm is %s mm long', (most, expected) => {
  expect(scaleBarMm(most)).toBeCloseTo(expected, 12)
})
