import { describe, expect, it } from 'vitest'
import {
  crossedBootstrap,
  differences,
  meanTable,
  tInterval,
  tQuantile,
} from '../../../scripts/experiments/statistics.js'

const SEED = 1

describe('the interval over seeds and cases', () => {
  it('holds a difference that every seed and case shows, and no zero', () => {
    const found = crossedBootstrap(
      [
        [0.1, 0.12, 0.08],
        [0.11, 0.09, 0.1],
      ],
      SEED,
    )!
    expect(found.mean).toBeCloseTo(0.1, 10)
    expect(found.ci[0]).toBeGreaterThan(0.07)
    expect(found.ci[1]).toBeLessThan(0.13)
    expect(found.n).toBe(6)
  })

  it('is wide where the seeds disagree, however alike the cases of a seed are', () => {
    const row = (value: number): number[] => Array.from({ length: 40 }, () => value)
    const { ci } = crossedBootstrap([row(0.2), row(0), row(-0.2)], SEED)!
    expect(ci[0]).toBeCloseTo(-0.2, 10)
    expect(ci[1]).toBeCloseTo(0.2, 10)
  })

  it('is wide where the cases disagree, however alike the seeds are', () => {
    const cases = Array.from({ length: 16 }, (_, at) => (at % 2 === 0 ? 1 : 0))
    const { ci } = crossedBootstrap([cases, cases, cases], SEED)!
    // standard error of 16 coin flips: 0.125
    expect(ci[1] - ci[0]).toBeGreaterThan(0.4)
    expect(ci[1] - ci[0]).toBeLessThan(0.6)
  })

  it('leaves out cases without a value, and is the same for the same seed', () => {
    const table = [
      [0.5, null, 0.7],
      [0.4, null, 0.8],
    ]
    expect(crossedBootstrap(table, SEED)!.mean).toBeCloseTo(0.6, 10)
    expect(crossedBootstrap(table, SEED)).toEqual(crossedBootstrap(table, SEED))
    expect(crossedBootstrap([[null, null]], SEED)).toBeNull()
  })
})

describe('tables of seeds by cases', () => {
  it('are subtracted place by place, and a place that one lacks is none', () => {
    expect(differences([[0.5, null, 0.2]], [[0.25, 0.1, null]])).toEqual([[0.25, null, null]])
  })

  it('are averaged over the numbers of labelled cases', () => {
    expect(meanTable([[[0.2, null]], [[0.4, 0.5]]])).toEqual([[expect.closeTo(0.3), null]])
  })
})

describe('the t interval', () => {
  // scipy.stats.t.ppf(0.975, freedom)
  it.each([
    [1, 12.706204736174694],
    [2, 4.302652729749462],
    [3, 3.1824463052837078],
    [4, 2.7764451051977934],
    [9, 2.262157162798205],
    [29, 2.045229642132703],
  ])('has the quantile of SciPy for %i degrees of freedom', (freedom, expected) => {
    expect(tQuantile(0.975, freedom)).toBeCloseTo(expected, 9)
  })

  it('is mean and standard error times the quantile; one value has no end', () => {
    const { mean, ci } = tInterval([1, 2, 3])
    expect(mean).toBe(2)
    expect(ci[1] - 2).toBeCloseTo(4.302652729749462 / Math.sqrt(3), 9)
    expect(tInterval([0.5]).ci).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])
  })
})
