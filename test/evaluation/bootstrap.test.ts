import { describe, expect, test } from 'vitest'
import {
  estimate,
  estimateMean as estimateMeanOfPatients,
  type ResamplingKey,
} from '../../src/evaluation/bootstrap.js'

/** Of values that are each another patient's. */
function estimateMean(numbers: readonly number[], resampling: ResamplingKey) {
  return estimateMeanOfPatients(
    numbers.map((value, at) => ({ patient: `${at}`, value })),
    resampling,
  )
}

const key = { seed: 7, name: 'tumor dice' }
const values = Array.from({ length: 40 }, (_, n) => Math.sin(n * 12.9898) ** 2)

describe('the interval of a mean', () => {
  test('depends on the seed and the name of the figure', () => {
    expect(estimateMean(values, key)).toEqual(estimateMean(values, key))
    expect(estimateMean(values, { ...key, seed: 8 })?.ci).not.toEqual(estimateMean(values, key)?.ci)
    expect(estimateMean(values, { ...key, name: '2 dice' })?.ci).not.toEqual(estimateMean(values, key)?.ci)
    expect(estimateMean(values, { ...key, seed: 7 + 2 ** 32 })?.ci).not.toEqual(estimateMean(values, key)?.ci)
  })

  test('is near the interval of normal theory', () => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    const half = 1.96 * Math.sqrt(variance / values.length)
    const { mean: found, ci, n } = estimateMean(values, key)!
    expect(found).toBeCloseTo(mean, 12)
    expect(n).toBe(40)
    expect(Math.abs(ci![0] - (mean - half))).toBeLessThan(0.15 * half)
    expect(Math.abs(ci![1] - (mean + half))).toBeLessThan(0.15 * half)
  })

  test('covers the true mean in about 95 of 100 samples', () => {
    let covered = 0
    for (let sample = 0; sample < 200; sample++) {
      const drawn = Array.from({ length: 50 }, (_, n) => fraction(sample * 50 + n))
      const [low, high] = estimateMean(drawn, { seed: sample, name: 'mean' })!.ci!
      if (low <= 0.5 && 0.5 <= high) covered++
    }
    expect(covered).toBeGreaterThan(176)
    expect(covered).toBeLessThan(200)
  })

  test('is a point for equal cases, and null without cases', () => {
    const equal = Array.from({ length: 6 }, () => 0.5)
    expect(estimateMean(equal, key)).toEqual({ mean: 0.5, ci: [0.5, 0.5], n: 6 })
    expect(estimateMean([], key)).toBeNull()
  })

  test.each([1, 2, 5, 6, 7])('of %i patients exists from 6 on', (count) => {
    const found = estimateMean(values.slice(0, count), key)!
    expect(found.n).toBe(count)
    expect(found.ci === null).toBe(count < 6)
    // many scans of these patients are no more patients
    const scans = values.map((value, at) => ({ patient: `${at % count}`, value }))
    expect(estimateMeanOfPatients(scans, key)!.ci === null).toBe(count < 6)
  })
})

test('a ratio uses the sums, and undefined resamples are omitted', () => {
  const rows = [
    { patient: 'a', values: [1, 4] },
    { patient: 'b', values: [1, 1] },
    ...['c', 'd', 'e', 'f'].map((patient) => ({ patient, values: [0, 0] })),
  ]
  const ratio = (sums: readonly number[]): number | null => (sums[1] === 0 ? null : sums[0]! / sums[1]!)
  const { mean, ci } = estimate(rows, ratio, key)!
  expect(mean).toBe(2 / 5)
  expect(ci![0]).toBeGreaterThanOrEqual(1 / 4)
  expect(ci![1]).toBeLessThanOrEqual(1)
  expect(estimate([{ patient: 'a', values: [0, 0] }], ratio, key)).toBeNull()
})

test('scans of a patient are drawn together: hence a large number of scans of few patients gives a wide interval', () => {
  const scans = Array.from({ length: 40 }, (_, n) => ({ patient: `${n % 6}`, value: (n % 6) / 5 }))
  const together = estimateMeanOfPatients(scans, key)!
  const apart = estimateMeanOfPatients(
    scans.map(({ value }, at) => ({ patient: `${at}`, value })),
    key,
  )!
  expect(together.n).toBe(40)
  expect(together.mean).toBeCloseTo(apart.mean, 12)
  // three times as wide: 6 independent values in place of 40
  expect(together.ci![1] - together.ci![0]).toBeGreaterThan(2 * (apart.ci![1] - apart.ci![0]))
  // what 6 patients with replacement can give at the extremes
  expect(together.ci![0]).toBeGreaterThanOrEqual(0)
})

/** Evenly spread over [0, 1), by nothing that the code under test uses. */
function fraction(n: number): number {
  const value = Math.sin(n + 1) * 43758.5453
  return value - Math.floor(value)
}
