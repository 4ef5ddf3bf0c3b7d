import { describe, expect, it } from 'vitest'
import {
  type AimedRange,
  aimAt,
  drawAimedLook,
  drawAimedSize,
  leastDiameterMm,
  missRate,
} from '../../src/simulation/curriculum.js'
import { openStream } from '../../src/simulation/random.js'
import type { Vec3 } from '../../src/volume/volume.js'

const liver = (from: number, to: number | null, found: number, missed: number) => ({
  organ: 'liver' as const,
  diameterMm: [from, to] as const,
  found,
  missed,
})
const MEASURED = [liver(0, 5, 0, 9), liver(5, 10, 3, 9), liver(10, 20, 9, 1), liver(50, null, 4, 0)]

const grid = (spacingMm: Vec3, windowHu: readonly [number, number] = [-175, 250]) => ({ spacingMm, windowHu })

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
    const [aimed] = aimAt(MEASURED, 0.3, grid([1.5, 1.5, 1.5]))
    expect(aimed!.diametersMm.map(({ from, to }) => [from, to])).toEqual([
      [5, 10],
      [10, 20],
      [50, 100],
    ])
    for (const [at, { probability }] of aimed!.diametersMm.entries())
      expect(probability).toBeCloseTo(0.1 + (0.7 * rates[at]!) / sum, 12)
    expect(aimed!.missRate).toBeCloseTo(10.5 / 27, 12)
    const [uniform] = aimAt(MEASURED, 1, grid([1.5, 1.5, 1.5]))
    for (const { probability } of uniform!.diametersMm) expect(probability).toBeCloseTo(1 / 3, 12)
  })

  it('begin at 5 mm or 3 voxels, and leave out organs without a larger range', () => {
    expect(leastDiameterMm([1.5, 1.5, 1.5])).toBe(5)
    const [coarse] = aimAt(MEASURED, 0, grid([1, 1, 2.5]))
    expect(coarse!.diametersMm[0]).toMatchObject({ from: 7.5, to: 10 })
    expect(aimAt(MEASURED, 0, grid([1, 1, 5]))[0]!.diametersMm[0]).toMatchObject({ from: 15, to: 20 })
    expect(aimAt([liver(0, 5, 1, 1)], 0, grid([1, 1, 1]))).toEqual([])
  })

  it('are drawn by their probability, uniform in a range, with the wanted voxels around the diameter', () => {
    const [aimed] = aimAt([liver(5, 10, 0, 10), liver(10, 20, 10, 0)], 0, grid([1, 1, 2]))
    const random = openStream(['aimed'])
    const drawn = Array.from({ length: 4000 }, () => drawAimedSize(aimed!, random)!)
    // the ellipsoid is 1.15 times as large as the wanted tumor
    const diameters = drawn.map(({ radiusVoxels }) => (2 * radiusVoxels[0]) / 1.15)
    const early = diameters.filter((mm) => mm < 10)
    expect(Math.min(...diameters)).toBeGreaterThanOrEqual(6)
    expect(Math.max(...diameters)).toBeLessThan(20)
    expect(early.length / drawn.length).toBeCloseTo(aimed!.diametersMm[0]!.probability, 1)
    expect(early.reduce((sum, mm) => sum + mm, 0) / early.length).toBeCloseTo(8, 0)
    for (const [at, { voxels }] of drawn.entries()) {
      const ball = ((Math.PI / 6) * diameters[at]! ** 3) / 2
      expect(voxels[0]).toBeLessThanOrEqual(ball * 1.000001)
      expect(voxels[1]).toBeCloseTo(ball * 1.15 ** 3, 6)
      expect(voxels[0]).toBeGreaterThan(((Math.PI / 6) * 6 ** 3) / 2 - 1e-9)
    }
  })
})

describe('depths and contrasts that are aimed at', () => {
  const depth = (from: number, to: number | null, found: number, missed: number) => ({
    organ: 'liver' as const,
    depthMm: [from, to] as const,
    found,
    missed,
  })
  const contrast = (from: number | null, to: number | null, found: number, missed: number) => ({
    organ: 'liver' as const,
    contrastHu: [from, to] as const,
    found,
    missed,
  })
  const LOOKS = [
    depth(0, 5, 1, 8),
    depth(5, 15, 5, 4),
    depth(15, null, 9, 0),
    contrast(null, -60, 8, 0),
    contrast(-60, -20, 3, 3),
    contrast(-20, 20, 0, 2),
    contrast(20, null, 1, 0),
  ]
  const [aimed] = aimAt([...MEASURED, ...LOOKS], 0.2, grid([1, 1, 1]))

  it('have ranges of their own, with the open ends at twice the other end', () => {
    const ends = (ranges: readonly { readonly from: number; readonly to: number }[]) =>
      ranges.map(({ from, to }) => [from, to])
    expect(ends(aimed!.depthsMm)).toEqual([
      [0, 5],
      [5, 15],
      [15, 30],
    ])
    expect(ends(aimed!.contrastsHu)).toEqual([
      [-120, -60],
      [-60, -20],
      [-20, 20],
      [20, 40],
    ])
    const rates = [8.5 / 10, 4.5 / 10, 0.5 / 10]
    for (const [at, { probability }] of aimed!.depthsMm.entries())
      expect(probability).toBeCloseTo(0.2 / 3 + (0.8 * rates[at]!) / 1.35, 12)
  })

  it('change neither the sizes nor the miss rate of the organ, and give the rate of an organ without sizes', () => {
    const [sizes] = aimAt(MEASURED, 0.2, grid([1, 1, 1]))
    expect(aimed).toMatchObject({ missRate: sizes!.missRate, diametersMm: sizes!.diametersMm })
    const [depths] = aimAt(LOOKS, 0.2, grid([1, 1, 1]))
    expect(depths).toMatchObject({ missRate: 12.5 / 28, diametersMm: [] })
    expect(drawAimedSize(depths!, openStream(['none']))).toBeNull()
    const [contrasts] = aimAt(LOOKS.slice(3), 0.2, grid([1, 1, 1]))
    expect(contrasts).toMatchObject({ missRate: 5.5 / 18, depthsMm: [] })
    expect(drawAimedLook(sizes!, openStream(['none']))).toEqual({})
  })

  it('are drawn by their probabilities, and contrasts uniformly in their range', () => {
    const draws = 4000
    const random = openStream(['looks'])
    const drawn = Array.from({ length: draws }, () => drawAimedLook(aimed!, random))
    const chi = (ranges: readonly AimedRange[], inRange: (from: number, to: number) => number) =>
      ranges.reduce((sum, { from, to, probability }) => {
        return sum + (inRange(from, to) - draws * probability) ** 2 / (draws * probability)
      }, 0)
    expect(
      chi(aimed!.depthsMm, (from) => drawn.filter(({ depth }) => depth!.fromMm === from).length),
    ).toBeLessThan(18.4) // 2 degrees of freedom, one in 10,000
    const hu = drawn.map(({ contrast }) => contrast!.hu)
    const within = (from: number, to: number) => hu.filter((one) => one >= from && one < to).length
    expect(chi(aimed!.contrastsHu, within)).toBeLessThan(21.1) // 3 degrees of freedom
    const middle = hu.filter((one) => one >= -20 && one < 20)
    expect(Math.abs(middle.reduce((sum, one) => sum + one, 0) / middle.length)).toBeLessThan(1.5)
    expect(middle.filter((one) => one < -10).length / middle.length).toBeCloseTo(0.25, 1)
  })

  it('change the intensity in the direction of the region: darker in the abdomen, brighter in the lung', () => {
    const liver = drawAimedLook(aimAt([contrast(-60, -50, 0, 1)], 0, grid([1, 1, 1]))[0]!, openStream(['a']))
    expect(liver.contrast!.change).toBeCloseTo(-liver.contrast!.hu / 425, 12)
    const bright = { ...contrast(200, 400, 0, 1), organ: 'lung' as const }
    const lung = drawAimedLook(aimAt([bright], 0, grid([1, 1, 5], [-1000, 500]))[0]!, openStream(['b']))
    expect(lung.contrast!.change).toBeCloseTo(lung.contrast!.hu / 1500, 12)
  })
})
