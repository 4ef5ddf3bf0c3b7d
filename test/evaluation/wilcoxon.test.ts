import { describe, expect, test } from 'vitest'
import { signedRank } from '../../src/evaluation/wilcoxon.js'
import { numbers } from './made-lesions.js'

/** Ranks by counting, and the p of all sign patterns one by one. */
function byHand(differences: readonly number[]): { statistic: number; p: number } {
  const sizes = differences.filter((one) => one !== 0).map(Math.abs)
  const ranks = sizes.map((size) => {
    const below = sizes.filter((other) => other < size).length
    return below + (sizes.filter((other) => other === size).length + 1) / 2
  })
  const total = ranks.reduce((sum, rank) => sum + rank, 0)
  const signs = differences.filter((one) => one !== 0).map((one) => one > 0)
  const positive = ranks.reduce((sum, rank, at) => sum + (signs[at] ? rank : 0), 0)
  const statistic = Math.min(positive, total - positive)
  let asExtreme = 0
  for (let pattern = 0; pattern < 2 ** ranks.length; pattern++) {
    const sum = ranks.reduce((one, rank, at) => one + ((pattern >> at) & 1 ? rank : 0), 0)
    if (Math.min(sum, total - sum) <= statistic + 1e-9) asExtreme++
  }
  return { statistic, p: asExtreme / 2 ** ranks.length }
}

test('small samples have the p value of all sign patterns, with ties and zeros', () => {
  const next = numbers(4)
  for (let trial = 0; trial < 25; trial++) {
    const differences = Array.from({ length: 3 + Math.floor(8 * next()) }, () =>
      trial % 2 === 0 ? next() - 0.4 : Math.round(6 * next()) - 2,
    )
    if (differences.every((one) => one === 0)) continue
    const { statistic, p } = byHand(differences)
    const found = signedRank(differences)!
    expect(found.statistic).toBe(statistic)
    // where the sums are equal on both sides, both tails hold all patterns
    expect(found.p).toBeCloseTo(Math.min(1, p), 12)
    expect(found).toMatchObject({ exact: true, n: differences.filter((one) => one !== 0).length })
  }
})

describe('against scipy.stats.wilcoxon of SciPy 1.17', () => {
  test('a small sample is exact', () => {
    expect(signedRank([1.5, -0.3, 2.2, 0.9, -1.1, 3.1, 0.4, 2.7])).toMatchObject({
      statistic: 5,
      p: expect.closeTo(0.078125, 12),
    })
  })

  test('a large sample follows the normal distribution with its correction for ties', () => {
    const differences = Array.from({ length: 80 }, (_, n) => ((n * 7) % 23) - 9)
    const found = signedRank(differences)!
    expect(found).toMatchObject({ exact: false, n: 77 })
    expect(found.statistic).toBe(1048.5)
    expect(found.p).toBeCloseTo(0.02132994234165916, 12)
  })
})

test('equal masks give no test', () => {
  expect(signedRank([0, 0, 0])).toBeNull()
  expect(signedRank([])).toBeNull()
})
