import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  binomialTest,
  correlation,
  delongAuc,
  exactInterval,
  incompleteBeta,
} from '../../src/readers/statistics.js'

/** SciPy 1.17, scikit-learn 1.9 (AUC), and DeLong's formula in NumPy. */
const reference = JSON.parse(readFileSync(new URL('statistics_reference.json', import.meta.url), 'utf8')) as {
  readonly intervals: [k: number, n: number, low: number, high: number][]
  readonly tests: [k: number, n: number, rate: number, p: number][]
  readonly aucs: [positives: number[], negatives: number[], auc: number, standardError: number][]
  readonly correlations: [x: number[], y: number[], r: number, p: number][]
  readonly betainc: [a: number, b: number, x: number, value: number][]
}
const TOLERANCE = 1e-9

const near = (found: number, expected: number): void =>
  expect(Math.abs(found - expected)).toBeLessThan(TOLERANCE)

describe('the statistics of a reader study', () => {
  test.each(reference.intervals)('the exact interval of %i of %i equals SciPy', (k, n, low, high) => {
    const [a, b] = exactInterval(k, n)!
    near(a, low)
    near(b, high)
  })

  test.each(reference.tests)('the binomial test of %i of %i against %f equals SciPy', (k, n, rate, p) => {
    near(binomialTest(k, n, rate)!, p)
  })

  test.each(reference.aucs)('AUC and DeLong error equal scikit-learn and NumPy (sample %#)', (...sample) => {
    const [positives, negatives, auc, standardError] = sample
    const found = delongAuc(positives, negatives)!
    near(found.auc, auc)
    near(found.standardError!, standardError)
    near(found.ci![0], Math.max(0, auc - 1.959963984540054 * standardError))
  })

  test.each(reference.correlations)(
    'the point-biserial correlation equals SciPy (sample %#)',
    (x, y, r, p) => {
      const found = correlation(x, y)!
      near(found.r, r)
      near(found.p, p)
    },
  )

  test.each(reference.betainc)('betainc(%f, %f, %f) equals SciPy', (a, b, x, value) => {
    near(incompleteBeta(x, a, b), value)
  })

  test('figures without enough answers are undefined', () => {
    expect(exactInterval(0, 0)).toBeNull()
    expect(binomialTest(0, 0, 0.5)).toBeNull()
    expect(delongAuc([], [1])).toBeNull()
    expect(delongAuc([2], [1])).toEqual({ auc: 1, standardError: null, ci: null })
    expect(correlation([1, 2, 3], [1, 1, 1])).toBeNull()
  })
})
