import { describe, expect, it } from 'vitest'
import { openStream } from '../../src/simulation/random.js'
import {
  drawKind,
  drawSize,
  RADIUS_VOXELS,
  radiiOfVolumes,
  radiusVoxelsOf,
  SIZE_CLASSES,
  SIZE_ODDS,
} from '../../src/simulation/size.js'
import type { Vec3 } from '../../src/volume/volume.js'

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
  it('converts millimetres into voxels of each axis', () => {
    expect(radiusVoxelsOf(10, [1.25, 1.25, 5])).toEqual([8, 8, 2])
  })

  it('follows a list of volumes: the ball of one of them, and the nearest class', () => {
    const ball = (radiusMm: number) => (4 / 3) * Math.PI * (radiusMm / 10) ** 3
    const listedRadii = radiiOfVolumes([ball(6), ball(30)], [1.5, 1.5, 3])
    const settings = { sizeOdds: SIZE_ODDS.abdomen, radiusVoxels: RADIUS_VOXELS, listedRadii }
    const random = openStream(['volumes'])
    const drawn = Array.from({ length: 60 }, () => drawKind(settings, random))
    const seen = new Map(drawn.map(({ size, radiusVoxels }) => [size, radiusVoxels as Vec3]))
    expect([...seen.keys()].sort()).toEqual(['medium', 'tiny'])
    seen.get('tiny')!.forEach((radius, axis) => void expect(radius).toBeCloseTo([4, 4, 2][axis]!))
    seen.get('medium')!.forEach((radius, axis) => void expect(radius).toBeCloseTo([20, 20, 10][axis]!))
    expect(() => radiiOfVolumes([], [1, 1, 1])).toThrow(RangeError)
    expect(() => radiiOfVolumes([10, 0], [1, 1, 1])).toThrow(RangeError)
  })

  it('draws the class by its odds with its radius if there is no list', () => {
    const settings = { sizeOdds: SIZE_ODDS.lungNodules, radiusVoxels: RADIUS_VOXELS, listedRadii: null }
    const random = openStream(['classes'])
    const drawn = Array.from({ length: 40 }, () => drawKind(settings, random))
    expect(new Set(drawn.map(({ size, radiusVoxels }) => `${size} ${radiusVoxels}`))).toEqual(
      new Set(['tiny 4', 'small 8']),
    )
  })
})
