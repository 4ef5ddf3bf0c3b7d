import { describe, expect, it } from 'vitest'
import { findWrongSlope } from '../../../src/curation/check/hu-scale.js'
import { makePhantom } from '../../../src/phantom/make.js'
import { readNifti } from '../../../src/volume/nifti.js'
import { sharedData } from '../../helpers/shared.js'

const HU = { slope: 1, inter: 0 }
const FACTORS = [9.758, 4, 2, 0.5, 0.1, 0.01] as const
/** Lower and upper ends of intensity windows; a large upper end clips nothing. */
const WINDOWS = [
  [-175, 250],
  [-200, 1e5],
  [-500, 500],
  [-1000, 400],
  [-450, 1050],
] as const

const phantom = makePhantom({ region: 'abdomen', index: 1, seed: 3, sizeVoxels: 48, tumors: true }).image.data

describe('findWrongSlope', () => {
  it.each(FACTORS)('finds the factor %d in values that were rounded', (factor) => {
    const found = findWrongSlope(scaledBy(factor, phantom, Math.abs(factor) < 0.1), HU)
    expect(found).toMatchObject({ intercept: 'scaled' })
    expect(found!.slope / factor).toBeCloseTo(1, 1)
  })

  it.each([4, 2, 0.5, 0.1])('finds a slope %d times too large in a header with its intercept', (factor) => {
    const stored = Uint16Array.from(phantom, (hu) => hu + 1024)
    const found = findWrongSlope(stored, { slope: factor, inter: -1024 })
    expect(found).toMatchObject({ intercept: 'right' })
    expect(found!.slope / factor).toBeGreaterThan(0.8)
    expect(found!.slope / factor).toBeLessThan(1.25)
  })

  it('finds nothing in phantoms', () => {
    for (const region of ['abdomen', 'chest'] as const)
      for (const difficulty of ['standard', 'hard'] as const)
        for (let index = 0; index < 6; index++) {
          const made = makePhantom({ region, difficulty, index, seed: 3, sizeVoxels: 48, tumors: true })
          expect(findWrongSlope(made.image.data, HU)).toBeNull()
        }
  })

  it.each(WINDOWS)('finds nothing in values clipped to %d and %d', (low, high) => {
    expect(findWrongSlope(clipped(phantom, low, high), HU)).toBeNull()
  })

  it('finds nothing in a few voxels, in one value, and in NaN', () => {
    for (const value of [0, -1024, Number.NaN])
      expect(findWrongSlope(new Float32Array(5000).fill(value), HU)).toBeNull()
    expect(findWrongSlope(phantom.subarray(0, 500), HU)).toBeNull()
    expect(findWrongSlope(new BigInt64Array(5000), HU)).toBeNull()
  })
})

const cts = [
  'crlm/CRLM-CT-1004_ct.nii.gz',
  'nsclc_lung1_001/ct_ds2.nii.gz',
  'totalsegmentator/example_ct.nii.gz',
  'totalsegmentator/example_ct_dicom_as_nifti.nii.gz',
]
  .map(sharedData)
  .filter((file) => file !== null)

describe.skipIf(cts.length === 0)('real scans', () => {
  it.each(cts)(
    'finds no fault in %s, its parts and its windows, and the factors of its copies',
    async (file) => {
      const { data, shape } = await readNifti(file)
      const hu = Float32Array.from(data)
      expect(findWrongSlope(hu, HU)).toBeNull()
      const few = hu.filter((_, n) => n % 11 === 0)
      for (const part of parts(hu, shape)) {
        expect(findWrongSlope(part, HU)).toBeNull()
        expect(
          findWrongSlope(
            part.map((value) => (value < -990 ? -2000 : value)),
            HU,
          ),
        ).toBeNull()
      }
      for (const [low, high] of WINDOWS) expect(findWrongSlope(clipped(few, low, high), HU)).toBeNull()
      for (const factor of FACTORS) {
        const found = findWrongSlope(scaledBy(factor, few, Math.abs(factor) < 0.1), HU)
        expect(found!.slope / factor).toBeCloseTo(1, 1)
      }
    },
    120_000,
  )
})

function scaledBy(factor: number, hu: ArrayLike<number>, exact: boolean): Float32Array {
  return Float32Array.from(hu, (value) => (exact ? value * factor : Math.round(value * factor)))
}

function clipped(hu: ArrayLike<number>, low: number, high: number): Float32Array {
  return Float32Array.from(hu, (value) => Math.min(high, Math.max(low, value)))
}

/** Return 27 blocks of a scan: they differ in their shares of air, lung and body. */
function parts(hu: Float32Array, [nx, ny, nz]: readonly [number, number, number]): Float32Array[] {
  const third = (n: number, at: number) => [Math.floor((n * at) / 3), Math.floor((n * (at + 1)) / 3)] as const
  return Array.from({ length: 27 }, (_, n) => {
    const [xs, ys, zs] = [third(nx, n % 3), third(ny, Math.floor(n / 3) % 3), third(nz, Math.floor(n / 9))]
    const part: number[] = []
    for (let x = xs[0]; x < xs[1]; x++)
      for (let y = ys[0]; y < ys[1]; y++)
        for (let z = zs[0]; z < zs[1]; z++) part.push(hu[(x * ny + y) * nz + z]!)
    return Float32Array.from(part)
  })
}
