import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type MaskMeasures, measureMask, tumorMask } from '../../src/simulation/measure.js'
import type { PlacedMask } from '../../src/simulation/shape.js'
import type { TumorPlan } from '../../src/simulation/tumor.js'
import { siteOf } from './phantom-sites.js'

const STEPS = [
  [1, 0, 0],
  [-1, 0, 0],
  [0, 1, 0],
  [0, -1, 0],
  [0, 0, 1],
  [0, 0, -1],
] as const

/** The same by definition: voxel by voxel, and flooding each piece. */
function measureSlowly({ box: { data, shape }, origin }: PlacedMask): MaskMeasures | null {
  const [nx, ny, nz] = shape
  const at = (x: number, y: number, z: number) =>
    x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz ? data[(x * ny + y) * nz + z]! : 0
  const voxels: [number, number, number][] = []
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) for (let z = 0; z < nz; z++) if (at(x, y, z)) voxels.push([x, y, z])
  if (voxels.length === 0) return null
  const seen = new Set<string>()
  let components = 0
  for (const voxel of voxels) {
    if (seen.has(voxel.join())) continue
    components++
    const open = [voxel]
    seen.add(voxel.join())
    for (let next = open.pop(); next; next = open.pop())
      for (const [dx, dy, dz] of STEPS) {
        const other: [number, number, number] = [next[0] + dx, next[1] + dy, next[2] + dz]
        if (!at(...other) || seen.has(other.join())) continue
        seen.add(other.join())
        open.push(other)
      }
  }
  const along = (axis: 0 | 1 | 2) => voxels.map((voxel) => voxel[axis])
  const extent = (axis: 0 | 1 | 2) => Math.max(...along(axis)) - Math.min(...along(axis)) + 1
  const mean = (axis: 0 | 1 | 2) =>
    origin[axis] + along(axis).reduce((sum, value) => sum + value, 0) / voxels.length
  const faces = voxels.reduce(
    (sum, [x, y, z]) => sum + STEPS.filter(([dx, dy, dz]) => !at(x + dx, y + dy, z + dz)).length,
    0,
  )
  return {
    volume: voxels.length,
    extent: [extent(0), extent(1), extent(2)],
    faces,
    components,
    centroid: [mean(0), mean(1), mean(2)],
  }
}

describe('measureMask', () => {
  it('equals a count voxel by voxel', () => {
    const side = fc.integer({ min: 1, max: 6 })
    const masks = fc.tuple(side, side, side).chain((shape) =>
      fc
        .array(fc.constantFrom(0, 1, 1), {
          minLength: shape[0] * shape[1] * shape[2],
          maxLength: shape[0] * shape[1] * shape[2],
        })
        .map((values) => ({ box: { data: Uint8Array.from(values), shape }, origin: [3, 5, 7] as const })),
    )
    fc.assert(
      fc.property(masks, (mask) => {
        const ours = measureMask(mask)
        const expected = measureSlowly(mask)
        if (ours === null || expected === null) {
          expect(ours).toBe(expected)
          return
        }
        const { centroid, ...counts } = ours
        const { centroid: mean, ...others } = expected
        expect(counts).toEqual(others)
        centroid.forEach((value, axis) => void expect(value).toBeCloseTo(mean[axis]!, 9))
      }),
      { numRuns: 300 },
    )
  })

  it('is null for an empty mask', () => {
    expect(measureMask({ box: { data: new Uint8Array(8), shape: [2, 2, 2] }, origin: [0, 0, 0] })).toBeNull()
  })
})

describe('tumorMask', () => {
  it('is the shape inside the organ, without real tumors and background', () => {
    const site = siteOf([6, 6, 6], (x) => (x < 3 ? 1 : x === 3 ? 2 : 0))
    const box = { data: new Uint8Array(64).fill(1), shape: [4, 4, 4] as const }
    const plan = { box, boxOrigin: [2, 1, 1], organLabel: 1 } as unknown as TumorPlan
    const mask = tumorMask(plan, site)
    expect(measureMask(mask)).toMatchObject({ volume: 16, extent: [1, 4, 4], centroid: [2, 2.5, 2.5] })
    expect(mask.origin).toEqual([2, 1, 1])
  })
})
