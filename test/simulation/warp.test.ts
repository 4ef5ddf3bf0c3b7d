import { describe, expect, it } from 'vitest'
import { openStream } from '../../src/simulation/random.js'
import { drawWarpControl, fillWarpMap } from '../../src/simulation/warp.js'
import type { Vec3 } from '../../src/volume/volume.js'
import { readNpz } from '../helpers/npz.js'
import { sharedFile } from '../helpers/shared.js'
import { PLANES, warpMask, wholePlane } from './warp-by-voxel.js'

const fixture = sharedFile('parity/warp_20x24x28.npz')

describe('a warp', () => {
  it.skipIf(fixture === null)(
    'matches the published masks voxel by voxel, each warp on the previous result',
    () => {
      const arrays = readNpz(fixture!)
      const masks = ['input', 'after_01', 'after_12', 'after_02'].map((name) => {
        const { data, shape } = arrays.get(name)!
        return { data: Uint8Array.from(data as Uint8Array), shape: shape as unknown as Vec3 }
      })
      const control = arrays.get('control')!.data as Float64Array
      PLANES.forEach((plane, at) => {
        const warped = warpMask(masks[at]!, plane, control.slice(18 * at, 18 * at + 18))
        expect(Buffer.compare(warped.data, masks[at + 1]!.data), `plane ${plane}`).toBe(0)
      })
    },
  )

  it('matches the drawn values at the first, middle and last voxel, and is symmetric in between', () => {
    const n = 21
    const source = (values: readonly [number, number, number]) => {
      const control = new Float64Array(18)
      for (let i = 0; i < 3; i++) control.fill(values[i]!, 3 * i, 3 * i + 3)
      const from0 = new Int16Array(n * n)
      const from1 = new Int16Array(n * n)
      fillWarpMap(control, [n, n], wholePlane(n, n), wholePlane(n, n), from0, from1)
      return Array.from({ length: n }, (_, i) => from0[i * n + 4]!)
    }
    const bent = source([3, -4, -6])
    expect([bent[0], bent[10], bent[20]]).toEqual([3, 6, 14])
    const mirrored = source([6, 4, -3])
    // Half way between two voxels floor(x + 0.5) rounds up, so the mirror may differ by one where a tie falls.
    bent.forEach((from, i) => void expect(Math.abs(20 - mirrored[20 - i]! - from)).toBeLessThanOrEqual(1))
  })

  it('takes nothing from outside the plane, not even from half a voxel beyond its faces', () => {
    const from0 = new Int16Array(25)
    const control = new Float64Array(18).fill(-0.25, 0, 9)
    fillWarpMap(control, [5, 5], wholePlane(5, 5), wholePlane(5, 5), from0, new Int16Array(25))
    expect(Array.from({ length: 5 }, (_, i) => from0[5 * i])).toEqual([-1, 1, 2, 3, 4])
  })
})

describe('drawWarpControl', () => {
  it('draws 18 normal values of the given deviation', () => {
    const values = Array.from({ length: 2000 }, (_, at) =>
      Array.from(drawWarpControl([3, 3], openStream(['warp', at]))),
    ).flat()
    expect(values).toHaveLength(36_000)
    const variance = values.reduce((sum, value) => sum + value ** 2, 0) / values.length
    expect(Math.abs(variance - 9)).toBeLessThan(5 * 9 * Math.sqrt(2 / values.length))
  })
})
