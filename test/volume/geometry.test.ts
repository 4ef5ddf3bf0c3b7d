import { describe, expect, it } from 'vitest'
import {
  alignTo,
  applyAffine,
  compareGrids,
  determinant,
  invertAffine,
  moveAxes,
  multiplyAffines,
  orientationOf,
  sameGrid,
  shearDegrees,
  spacingOf,
  toRas,
  voxelVolumeMm3,
} from '../../src/volume/geometry.js'
import type { Affine, Vec3 } from '../../src/volume/volume.js'
import { diagonal, filled } from '../helpers/nifti-fixtures.js'

const oblique: Affine = [0.9, -0.8, 0.2, 5, 0.7, 1.1, -0.1, -7, 0.1, 0.3, 2.5, 11, 0, 0, 0, 1]
const LPS: Affine = [-2, 0, 0, 90, 0, -2, 0, 80, 0, 0, 3, -40, 0, 0, 0, 1]
const SLP: Affine = [0, -2, 0, 90, 0, 0, -2, 80, 3, 0, 0, -40, 0, 0, 0, 1]

describe('affine maths', () => {
  it('inverts: forward and back gives the same voxel', () => {
    const voxel: Vec3 = [3, -4, 5.5]
    const back = applyAffine(invertAffine(oblique), applyAffine(oblique, voxel))
    for (const [axis, value] of back.entries()) expect(value).toBeCloseTo(voxel[axis]!, 12)
  })

  it('composes: the product applies the second first', () => {
    const both = applyAffine(multiplyAffines(oblique, LPS), [1, 2, 3])
    const [x, y, z] = applyAffine(oblique, applyAffine(LPS, [1, 2, 3]))
    expect(both.map((value) => value.toFixed(9))).toEqual([x, y, z].map((value) => value.toFixed(9)))
  })

  it('refuses to invert a flat affine', () => {
    expect(() => invertAffine(diagonal([1, 0, 1]))).toThrow('not invertible')
  })

  it('computes spacing, voxel volume, handedness and shear', () => {
    expect(spacingOf(SLP)).toEqual([3, 2, 2])
    expect(voxelVolumeMm3(SLP)).toBe(12)
    expect(determinant(diagonal([-1, 1, 1]))).toBe(-1)
    expect(shearDegrees(SLP)).toBe(0)
    expect(shearDegrees([1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])).toBeCloseTo(45, 9)
  })

  it('names the direction of each axis', () => {
    expect(orientationOf(diagonal())).toBe('RAS')
    expect(orientationOf(LPS)).toBe('LPS')
    expect(orientationOf(SLP)).toBe('SLP')
    expect(orientationOf(oblique)).toBe('RAS')
  })
})

describe('compareGrids', () => {
  const reference = { shape: [4, 5, 6] as Vec3, affine: LPS }

  it('treats a grid as equal to itself within the rounding of headers', () => {
    const rounded = { ...reference, affine: LPS.map((value) => value + 1e-3) }
    expect(compareGrids(reference, reference)).toEqual({ kind: 'same' })
    expect(sameGrid(reference, { ...rounded, affine: [...rounded.affine.slice(0, 12), 0, 0, 0, 1] })).toBe(
      true,
    )
  })

  it('separates one physical grid with other axes from another grid', () => {
    // The same voxels, second axis counted from the other end.
    const las = {
      shape: reference.shape,
      affine: [-2, 0, 0, 90, 0, 2, 0, 80 - 2 * 4, 0, 0, 3, -40, 0, 0, 0, 1],
    }
    const compared = compareGrids(reference, las)
    expect(compared.kind).toBe('reoriented')
    expect(compared).toMatchObject({ moves: { source: [0, 1, 2], flip: [false, true, false] } })
    expect(compared).toMatchObject({ message: 'LAS axes against LPS on one physical grid' })
    expect(sameGrid(reference, las)).toBe(false)
    const shifted = { ...las, affine: [-2, 0, 0, 90, 0, 2, 0, 80, 0, 0, 3, -40, 0, 0, 0, 1] }
    expect(compareGrids(reference, shifted)).toMatchObject({ kind: 'different' })
  })

  it('names the differences', () => {
    const against = (other: { shape: Vec3; affine: Affine }) => {
      const compared = compareGrids(reference, other)
      return compared.kind === 'different' ? compared.reasons.join('; ') : compared.kind
    }
    expect(against({ shape: [4, 5, 7], affine: LPS })).toContain('shape 4x5x6 against 4x5x7')
    expect(against({ ...reference, affine: diagonal([2, 2, 3.5]) })).toContain(
      'spacing 2 x 2 x 3 mm against 2 x 2 x 3.5 mm',
    )
    expect(against({ ...reference, affine: LPS.with(3, 95) })).toBe(
      'first voxel at 90 x 80 x -40 mm against 95 x 80 x -40 mm',
    )
    const turned = multiplyAffines(LPS, [
      Math.cos(0.1),
      -Math.sin(0.1),
      0,
      0,
      Math.sin(0.1),
      Math.cos(0.1),
      0,
      0,
      0,
      0,
      1,
      0,
      0,
      0,
      0,
      1,
    ])
    expect(against({ ...reference, affine: turned })).toContain('axes turned')
  })
})

describe('moving axes', () => {
  const value = (i: number, j: number, k: number) => 100 * i + 10 * j + k
  const scan = filled(Int16Array, [2, 3, 4], value, SLP)

  it('brings a volume to RAS and keeps every value at its physical position', () => {
    const ras = toRas(scan)
    expect(orientationOf(ras.affine)).toBe('RAS')
    expect(ras.shape).toEqual([3, 4, 2])
    const toScan = multiplyAffines(invertAffine(scan.affine), ras.affine)
    for (let i = 0, n = 0; i < 3; i++)
      for (let j = 0; j < 4; j++)
        for (let k = 0; k < 2; k++, n++) {
          const [a, b, c] = applyAffine(toScan, [i, j, k])
          expect(ras.data[n]).toBe(value(Math.round(a), Math.round(b), Math.round(c)))
        }
  })

  it('returns the volume itself if nothing moves', () => {
    const ras = filled(Uint8Array, [2, 2, 2], () => 1)
    expect(toRas(ras)).toBe(ras)
    expect(alignTo(ras, ras)).toBe(ras)
  })

  it('aligns a label with other axes to its image', () => {
    const image = toRas(scan)
    const label = moveAxes(image, { source: [2, 0, 1], flip: [true, false, true] })
    expect(label.data).not.toEqual(image.data)
    const aligned = alignTo(label, image)
    expect(aligned.data).toEqual(image.data)
    for (const [n, cell] of aligned.affine.entries()) expect(cell).toBeCloseTo(image.affine[n]!, 9)
  })

  it('refuses a label on another grid and names the reason', () => {
    const other = filled(Uint8Array, [2, 3, 5], () => 0, SLP)
    expect(() => alignTo(other, scan, 'labelsTr/a.nii.gz')).toThrow(
      /labelsTr\/a.nii.gz: not on the grid of its reference: shape 2x3x4 against 2x3x5/,
    )
  })
})
