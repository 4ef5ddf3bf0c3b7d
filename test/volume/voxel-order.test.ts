import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { VoxelArray } from '../../src/volume/volume.js'
import { reverseAxisOrder } from '../../src/volume/voxel-order.js'

describe('reverseAxisOrder', () => {
  it('makes the first axis the fastest, for any shape', () => {
    const size = fc.integer({ min: 1, max: 70 })
    fc.assert(
      fc.property(size, fc.integer({ min: 1, max: 5 }), size, (n0, n1, n2) => {
        const source = Int32Array.from({ length: n0 * n1 * n2 }, (_, n) => n)
        const turned = reverseAxisOrder(source, [n0, n1, n2])
        const wrong = source.findIndex((value, n) => {
          const [a, b, c] = [Math.floor(n / (n1 * n2)), Math.floor(n / n2) % n1, n % n2]
          return turned[(c * n1 + b) * n0 + a] !== value
        })
        expect(wrong).toBe(-1)
        expect(reverseAxisOrder(turned, [n2, n1, n0])).toEqual(source)
      }),
      { seed: 1, numRuns: 40 },
    )
  })

  it('keeps the kind of array and its values, of every width', () => {
    const types = [
      Int8Array,
      Uint8Array,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
    ]
    for (const type of types) {
      const turned: VoxelArray = reverseAxisOrder(new type([1, 2, 3, 4, 5, 100]), [1, 2, 3])
      expect(turned).toEqual(new type([1, 4, 2, 5, 3, 100]))
    }
  })
})
