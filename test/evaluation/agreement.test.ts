import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { cohensKappa, fleissKappa } from '../../src/evaluation/agreement.js'

interface Reference {
  readonly cohen: readonly {
    readonly a: number[]
    readonly b: number[]
    readonly kappa: number
    readonly se: number
  }[]
  readonly fleiss: readonly { readonly counts: number[][]; readonly kappa: number }[]
  readonly unequal: {
    readonly counts: number[][]
    readonly kappa: number
    readonly observed: number
    readonly expected: number
  }
}

const reference = JSON.parse(
  readFileSync(new URL('agreement_reference.json', import.meta.url), 'utf8'),
) as Reference

const NONE = { kappa: null, ci: null, observed: null, expected: null, n: 0 }

describe("Cohen's kappa", () => {
  test.each(reference.cohen)(
    'equals cohen_kappa_score of scikit-learn 1.9 (sample %#)',
    ({ a, b, kappa }) => {
      const found = cohensKappa(a.map(String), b.map(String))
      expect(Math.abs(found.kappa! - kappa)).toBeLessThan(1e-12)
      expect(found.n).toBe(a.length)
      expect(found.observed).toBeCloseTo(a.filter((one, at) => one === b[at]).length / a.length, 14)
    },
  )

  test('has an interval as wide as the analytic one of statsmodels 0.15 on 200 items', () => {
    const { a, b, kappa, se } = reference.cohen.at(-1)!
    const [low, high] = cohensKappa(a.map(String), b.map(String)).ci!
    expect(low).toBeLessThan(kappa)
    expect(high).toBeGreaterThan(kappa)
    expect((high - low) / (2 * 1.96 * se)).toBeGreaterThan(0.9)
    expect((high - low) / (2 * 1.96 * se)).toBeLessThan(1.1)
  })

  test('omits items with a missing rating', () => {
    const whole = cohensKappa(['x', 'y', 'y', 'x'], ['x', 'y', 'x', 'x'])
    const holes = cohensKappa(['x', null, 'y', 'y', 'x', 'y'], ['x', 'y', 'y', 'x', 'x', null])
    expect(holes).toEqual(whole)
    expect(holes.n).toBe(4)
  })

  test('is undefined if both raters use one and the same category only', () => {
    const found = cohensKappa(Array(10).fill('x'), Array(10).fill('x'))
    expect(found).toEqual({ kappa: null, ci: null, observed: 1, expected: 1, n: 10 })
  })

  test('is undefined without a common item', () => {
    expect(cohensKappa(['x', null], [null, 'y'])).toEqual(NONE)
    expect(cohensKappa([], [])).toEqual(NONE)
  })

  test('refuses raters with different numbers of items', () => {
    expect(() => cohensKappa(['x'], ['x', 'y'])).toThrow('ratings of two raters differ in number (1 and 2)')
  })

  test('resamples whole clusters: repeating each item within its cluster leaves the interval as it is', () => {
    const { a, b } = reference.cohen[1]!
    const names = a.map((_, at) => `scan ${at}`)
    const once = cohensKappa(a.map(String), b.map(String), { clusters: names })
    const twice = cohensKappa([...a, ...a].map(String), [...b, ...b].map(String), {
      clusters: [...names, ...names],
    })
    expect(twice.n).toBe(2 * once.n)
    expect(twice.kappa).toBeCloseTo(once.kappa!, 14)
    expect(twice.ci![0]).toBeCloseTo(once.ci![0], 14)
    expect(twice.ci![1]).toBeCloseTo(once.ci![1], 14)
  })

  test('has no interval below 6 clusters', () => {
    const rated = ['x', 'y', 'x', 'y', 'x']
    expect(cohensKappa(rated, rated)).toMatchObject({ kappa: 1, ci: null })
    expect(cohensKappa([...rated, 'y'], [...rated, 'y'])).toMatchObject({ kappa: 1, ci: [1, 1] })
  })
})

describe("Fleiss' kappa", () => {
  test.each(reference.fleiss)('equals fleiss_kappa of statsmodels 0.15 (sample %#)', ({ counts, kappa }) => {
    const found = fleissKappa(counts)
    expect(Math.abs(found.kappa! - kappa)).toBeLessThan(1e-12)
    expect(found.n).toBe(counts.length)
    expect(found.ci![0]).toBeLessThanOrEqual(kappa)
    expect(found.ci![1]).toBeGreaterThanOrEqual(kappa)
  })

  test('equals irrCAC 0.4 if items have different numbers of ratings', () => {
    const { counts, kappa, observed, expected } = reference.unequal
    const found = fleissKappa(counts)
    expect(Math.abs(found.kappa! - kappa)).toBeLessThan(1e-12)
    expect(Math.abs(found.observed! - observed)).toBeLessThan(1e-12)
    expect(Math.abs(found.expected! - expected)).toBeLessThan(1e-12)
  })

  test('omits items with fewer than two ratings', () => {
    const { counts } = reference.unequal
    expect(fleissKappa([...counts, [1, 0], [0, 0], [0, 1]])).toEqual(fleissKappa(counts))
  })

  test('is undefined for one rater, without items, and with one used category', () => {
    expect(
      fleissKappa([
        [1, 0],
        [0, 1],
      ]),
    ).toEqual(NONE)
    expect(fleissKappa([])).toEqual(NONE)
    expect(
      fleissKappa([
        [3, 0],
        [2, 0],
      ]),
    ).toMatchObject({ kappa: null, ci: null, observed: 1, n: 2 })
  })

  test('refuses rows of another length or with a count that is no natural number', () => {
    expect(() => fleissKappa([[1, 1], [2]])).toThrow('item 1: expected 2 counts from 0, found 2')
    expect(() => fleissKappa([[1, -1]])).toThrow('item 0')
    expect(() => fleissKappa([[1, 1.5]])).toThrow('item 0')
  })
})
