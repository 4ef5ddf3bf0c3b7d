import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { componentsTouching, findComponents } from '../../src/volume/components.js'
import type { LabelMap, Vec3 } from '../../src/volume/volume.js'
import { diagonal, filled } from '../helpers/nifti-fixtures.js'

/** The same by flooding, voxel by voxel. */
function flooded({ data, shape }: LabelMap, id: number): number[] {
  const [nx, ny, nz] = shape
  const seen = new Uint8Array(data.length)
  const sizes: number[] = []
  for (let start = 0; start < data.length; start++) {
    if (data[start] !== id || seen[start]) continue
    const stack = [start]
    seen[start] = 1
    let size = 0
    while (stack.length > 0) {
      const n = stack.pop()!
      size++
      const [i, j, k] = [Math.floor(n / (ny * nz)), Math.floor(n / nz) % ny, n % nz]
      for (let a = Math.max(0, i - 1); a <= Math.min(nx - 1, i + 1); a++)
        for (let b = Math.max(0, j - 1); b <= Math.min(ny - 1, j + 1); b++)
          for (let c = Math.max(0, k - 1); c <= Math.min(nz - 1, k + 1); c++) {
            const m = (a * ny + b) * nz + c
            if (data[m] === id && !seen[m]) {
              seen[m] = 1
              stack.push(m)
            }
          }
    }
    sizes.push(size)
  }
  return sizes
}

describe('findComponents', () => {
  it('finds the components that flooding finds, in the same order', () => {
    const size = fc.integer({ min: 1, max: 7 })
    fc.assert(
      fc.property(size, size, size, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), (x, y, z, ids) => {
        const shape: Vec3 = [x, y, z]
        const values = [...ids.take(x * y * z)].map((value) => (value === 1 ? 1 : value === 2 ? 2 : 0))
        const label: LabelMap = { data: Uint8Array.from(values), shape, affine: diagonal() }
        const { runs, voxels } = findComponents(label, 1)
        expect(voxels).toEqual(flooded(label, 1))
        expect(runs.reduce((sum, { start, end }) => sum + end - start, 0)).toBe(
          values.filter((v) => v === 1).length,
        )
      }),
      { seed: 5, numRuns: 300 },
    )
  })

  it('joins over a corner and not over the edge of the array', () => {
    const label = filled(Uint8Array, [2, 2, 4], (i, j, k) =>
      Number((i === 0 && j === 0 && k <= 1) || (i === 1 && j === 1 && k === 2)),
    )
    expect(findComponents(label, 1).voxels).toEqual([3])
    const wrapped = filled(Uint8Array, [1, 2, 4], (_i, j, k) =>
      Number((j === 0 && k === 3) || (j === 1 && k === 0)),
    )
    expect(findComponents(wrapped, 1).voxels).toEqual([1, 1])
  })

  it('marks the components that touch another id', () => {
    const ids = [1, 0, 0, 0, 1, 2, 0, 0, 1]
    const label = filled(Uint8Array, [1, 1, 9], (_i, _j, k) => ids[k]!)
    expect(componentsTouching(label, findComponents(label, 1), 2)).toEqual([false, true, false])
  })
})
