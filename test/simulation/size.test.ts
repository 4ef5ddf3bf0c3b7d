import { describe, expect, it } from 'vitest'
import { openStream } from '../../src/simulation/random.js'
import {
  drawSize,
  radiusFromVolumes,
  radiusVoxelsOf,
  SIZE_CLASSES,
  SIZE_ODDS,
} from '../../src/simulation/size.js'

describe('drawSize', () => {
  it.each(['abdomen', 'covid', 'lungNodules'] as const)('draws the classes of %s by their odds', (name) => {
    const odds = SIZE_ODDS[name]
    const n = 20_000
    const random = openStream(['size', name])
    const drawn = Array.from({ length: n }, () => drawSize(odds, random))
    for (const size of SIZE_CLASSES) {
      const share = drawn.filter((one) => one === size).length / n
      expect(Math.abs(share - odds[size])).toBeLessThanOrEqual(
        5 * Math.sqrt((odds[size] * (1 - odds[size])) / n),
      )
    }
  })
})

describe('radii in other units', () => {
  it('turns millimetres into voxels of each axis', () => {
    expect(radiusVoxelsOf(10, [1.25, 1.25, 5])).toEqual([8, 8, 2])
  })

  it('follows a list of volumes: the radius of a ball of one of them', () => {
    const draw = radiusFromVolumes([(4 / 3) * Math.PI * 27, (4 / 3) * Math.PI * 1000])
    const random = openStream(['volumes'])
    const radii = new Set(Array.from({ length: 60 }, () => Math.round(draw(random) * 1e9) / 1e9))
    expect([...radii].sort((a, b) => a - b)).toEqual([3, 10])
    expect(() => radiusFromVolumes([])).toThrow(RangeError)
    expect(() => radiusFromVolumes([10, 0])).toThrow(RangeError)
  })
})
