import { describe, expect, it } from 'vitest'
import { aimAt, drawAimed, leastDiameterMm, missRate } from '../../src/simulation/curriculum.js'
import { openStream } from '../../src/simulation/random.js'

const liver = (from: number, to: number | null, found: number, missed: number) => ({
  organ: 'liver' as const,
  diameterMm: [from, to] as const,
  found,
  missed,
})
const MEASURED = [liver(0, 5, 0, 9), liver(5, 10, 3, 9), liver(10, 20, 9, 1), liver(50, null, 4, 0)]

describe('the rate of missed tumors', () => {
  it('is smoothed by Jeffreys prior: never 0 or 1, and 1/2 without a tumor', () => {
    expect(missRate(0, 0)).toBe(0.5)
    expect(missRate(3, 9)).toBeCloseTo(9.5 / 13, 12)
    expect(missRate(4, 0)).toBeCloseTo(0.1, 12)
  })
})

describe('sizes that are aimed at', () => {
  it('follow the missed tumors of each range, and every range keeps its part of the uniform share', () => {
    const rates = [9.5 / 13, 1.5 / 11, 0.1]
    const sum = rates.reduce((total, rate) => total + rate, 0)
    const [aimed] = aimAt(MEASURED, 0.3, [1.5, 1.5, 1.5])
    expect(aimed!.bins.map(({ fromMm, toMm }) => [fromMm, toMm])).toEqual([
      [5, 10],
      [10, 20],
      [50, 100],
    ])
    for (const [at, { probability }] of aimed!.bins.entries())
      expect(probability).toBeCloseTo(0.1 + (0.7 * rates[at]!) / sum, 12)
    expect(aimed!.missRate).toBeCloseTo(10.5 / 27, 12)
    const [uniform] = aimAt(MEASURED, 1, [1.5, 1.5, 1.5])
    for (const { probability } of uniform!.bins) expect(probability).toBeCloseTo(1 / 3, 12)
  })

  it('begin at 5 mm or 3 voxels, and leave out organs without a larger range', () => {
    expect(leastDiameterMm([1.5, 1.5, 1.5])).toBe(5)
    const [coarse] = aimAt(MEASURED, 0, [1, 1, 2.5])
    expect(coarse!.bins[0]).toMatchObject({ fromMm: 7.5, toMm: 10 })
    expect(aimAt(MEASURED, 0, [1, 1, 5])[0]!.bins[0]).toMatchObject({ fromMm: 15, toMm: 20 })
    expect(aimAt([liver(0, 5, 1, 1)], 0, [1, 1, 1])).toEqual([])
  })

  it('are drawn by their probability, uniform in a range, with the wanted voxels around the diameter', () => {
    const [aimed] = aimAt([liver(5, 10, 0, 10), liver(10, 20, 10, 0)], 0, [1, 1, 2])
    const random = openStream(['aimed'])
    const drawn = Array.from({ length: 4000 }, () => drawAimed(aimed!, random))
    // the ellipsoid is 1.15 times as large as the wanted tumor
    const diameters = drawn.map(({ radiusVoxels }) => (2 * radiusVoxels[0]) / 1.15)
    const early = diameters.filter((mm) => mm < 10)
    expect(Math.min(...diameters)).toBeGreaterThanOrEqual(6)
    expect(Math.max(...diameters)).toBeLessThan(20)
    expect(early.length / drawn.length).toBeCloseTo(aimed!.bins[0]!.probability, 1)
    expect(early.reduce((sum, mm) => sum + mm, 0) / early.length).toBeCloseTo(8, 0)
    for (const [at, { voxels }] of drawn.entries()) {
      const ball = ((Math.PI / 6) * diameters[at]! ** 3) / 2
      expect(voxels[0]).toBeLessThanOrEqual(ball * 1.000001)
      expect(voxels[1]).toBeCloseTo(ball * 1.15 ** 3, 6)
      expect(voxels[0]).toBeGreaterThan(((Math.PI / 6) * 6 ** 3) / 2 - 1e-9)
    }
  })
})
