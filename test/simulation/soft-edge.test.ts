import { expect, it } from 'vitest'
import { meanEdgeWeight } from '../../src/simulation/soft-edge.js'
import type { Vec3 } from '../../src/volume/volume.js'

const SHAPE: Vec3 = [9, 8, 7]
const label = Uint8Array.from({ length: 9 * 8 * 7 }, (_, at) => (at % 5 === 0 ? 3 : 1))
const site = { label, shape: SHAPE, organLabel: 1 }
const boxShape: Vec3 = [5, 4, 6]
const origin: Vec3 = [2, 3, 1]
const data = Uint8Array.from({ length: 5 * 4 * 6 }, (_, at) => (at % 7 === 0 ? 0 : 1))

it.each([0.8, 1.7])(
  'the mean weight of a soft edge is that of a sum over all pairs of voxels, sigma %d',
  (sigma) => {
    const voxels: Vec3[] = []
    for (let x = 0; x < 5; x++)
      for (let y = 0; y < 4; y++)
        for (let z = 0; z < 6; z++) {
          const inSite = ((x + 2) * 8 + y + 3) * 7 + z + 1
          if (data[(x * 4 + y) * 6 + z] === 1 && label[inSite] === 1) voxels.push([x, y, z])
        }
    const reach = Math.floor(4 * sigma + 0.5)
    const weight = (step: number) => (Math.abs(step) > reach ? 0 : Math.exp(-0.5 * (step / sigma) ** 2))
    let norm = 0
    for (let step = -reach; step <= reach; step++) norm += weight(step)
    let sum = 0
    for (const a of voxels)
      for (const b of voxels)
        sum += [0, 1, 2].reduce((product, axis) => (product * weight(a[axis]! - b[axis]!)) / norm, 1)
    const mean = meanEdgeWeight({ box: { data, shape: boxShape }, origin }, site, sigma)
    expect(mean).toBeCloseTo(sum / voxels.length, 5)
    expect(mean).toBeLessThan(1)
  },
)
