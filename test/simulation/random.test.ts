import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { philox } from '../../src/simulation/philox.js'
import { openStream, permuteIndex, randomStream } from '../../src/simulation/random.js'

describe('philox', () => {
  // known answers of the Random123 distribution (kat_vectors, philox4x32 10)
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)('equals the published output for counter %j', (counter, key, answer) => {
    const out = new Uint32Array(4)
    philox(counter, key, out)
    expect([...out]).toEqual(answer)
  })
})

describe('a stream', () => {
  it('is equal for equal keys and differs for any other key', () => {
    const draws = (key: (string | number)[]): number[] => {
      const stream = openStream(key)
      return Array.from({ length: 8 }, () => stream.uniform())
    }
    const keys = [
      [1, 'baseline', 5, 0, 'centre'],
      [2, 'baseline', 5, 0, 'centre'],
      [1, 'synthesis', 5, 0, 'centre'],
      [1, 'baseline', 6, 0, 'centre'],
      [1, 'baseline', 5, 1, 'centre'],
      [1, 'baseline', 5, 0, 'mixing'],
      [2 ** 32 + 1, 'baseline', 5, 0, 'centre'],
      [1, 'baseline', 5, 0],
    ]
    for (const key of keys) expect(draws(key)).toEqual(draws([...key]))
    expect(new Set(keys.map((key) => draws(key).join())).size).toBe(keys.length)
  })

  it('draws the named distributions, over 100,000 draws', () => {
    const n = 100_000
    const stream = openStream([0, 'statistics'])
    const normals = Float64Array.from({ length: n }, () => stream.normal())
    const mean = normals.reduce((sum, value) => sum + value, 0) / n
    const variance = normals.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n
    // five standard errors: 1 / sqrt(n) for the mean, sqrt(2 / n) for the variance
    expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(n))
    expect(Math.abs(variance - 1)).toBeLessThan(5 * Math.sqrt(2 / n))
    const counts = [0, 0, 0, 0, 0]
    for (let at = 0; at < n; at++) counts[stream.integer(3, 7) - 3]!++
    const chi = counts.reduce((sum, count) => sum + (count - n / 5) ** 2 / (n / 5), 0)
    expect(chi).toBeLessThan(23.5) // 4 degrees of freedom, one in 10,000
    const betas = Array.from({ length: n }, () => stream.beta(0.2, 0.2))
    const spread = betas.reduce((sum, value) => sum + (value - 0.5) ** 2, 0) / n
    expect(Math.abs(spread - 0.25 / 1.4)).toBeLessThan(0.003) // variance of Beta(a, a): 1 / (4 (2 a + 1))
    const picks = [0, 0, 0]
    for (let at = 0; at < n; at++) picks[stream.pick([1, 0, 3])]!++
    expect(picks[1]).toBe(0)
    expect(Math.abs(picks[2]! / n - 0.75)).toBeLessThan(5 * Math.sqrt(0.1875 / n))
  })

  it('is keyed by seed, job, item, crop and purpose', () => {
    const key = { seed: 1, job: 'baseline', item: 5, crop: 0, draw: 'centre' }
    expect(randomStream(key).uniform()).toBe(openStream([1, 'baseline', 5, 0, 'centre']).uniform())
    expect(randomStream({ ...key, draw: 'mixing' }).uniform()).not.toBe(randomStream(key).uniform())
  })

  it('reaches both ends of a range of integers and nothing beyond, up to 53 bits', () => {
    const stream = openStream(['ends'])
    const drawn = Array.from({ length: 200 }, () => stream.integer(-1, 2))
    expect(new Set(drawn)).toEqual(new Set([-1, 0, 1, 2]))
    const large = Array.from({ length: 200 }, () => stream.integer(0, 2 ** 53 - 1))
    expect(large.every((value) => Number.isSafeInteger(value) && value >= 0)).toBe(true)
    expect(Math.max(...large)).toBeGreaterThan(2 ** 52)
  })

  it('permutes with equal frequency of every order', () => {
    const stream = openStream(['orders'])
    const counts = new Map<string, number>()
    for (let at = 0; at < 6000; at++) {
      const order = stream.permutation(3).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    const chi = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chi).toBeLessThan(25.7) // 5 degrees of freedom, one in 10,000
  })

  it('draws gammas of the given mean and variance, and betas at shapes so small that gammas underflow', () => {
    const stream = openStream(['gamma'])
    for (const shape of [0.3, 1, 4.5]) {
      const n = 40_000
      const drawn = Array.from({ length: n }, () => stream.gamma(shape))
      const mean = drawn.reduce((sum, value) => sum + value, 0) / n
      // five standard errors: mean and variance of a gamma are its shape
      expect(Math.abs(mean - shape)).toBeLessThan(5 * Math.sqrt(shape / n))
    }
    const betas = Array.from({ length: 2000 }, () => stream.beta(0.001, 0.001))
    expect(betas.every((value) => value >= 0 && value <= 1)).toBe(true)
    expect(Math.abs(betas.filter((value) => value > 0.5).length / 2000 - 0.5)).toBeLessThan(0.06)
  })

  it('refuses parameters that it cannot draw', () => {
    expect(() => openStream([Number.NaN])).toThrow(RangeError)
    expect(() => openStream([0]).integer(3, 2)).toThrow(RangeError)
    expect(() => openStream([0]).integer(0.5, 2)).toThrow(RangeError)
    expect(() => openStream([0]).pick([0, 0])).toThrow(RangeError)
    expect(() => openStream([0]).pick([2, -1])).toThrow(RangeError)
    expect(() => openStream([0]).gamma(0)).toThrow(RangeError)
  })
})

describe('permuteIndex', () => {
  it('is a permutation of any range under any key', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.nat(), (n, key) => {
        const images = Array.from({ length: n }, (_, at) => permuteIndex(at, n, [key, 'epoch']))
        expect(new Set(images).size).toBe(n)
        expect(Math.min(...images)).toBe(0)
        expect(Math.max(...images)).toBe(n - 1)
      }),
      { numRuns: 60 },
    )
  })

  it('returns another order for another key, and works for ranges of millions', () => {
    const order = (key: number): string =>
      Array.from({ length: 20 }, (_, at) => permuteIndex(at, 5_000_000, [key])).join()
    expect(order(1)).not.toBe(order(2))
  })

  it('sends the first of a few to each place equally often over keys', () => {
    const counts = [0, 0, 0, 0, 0]
    for (let key = 0; key < 5000; key++) counts[permuteIndex(0, 5, [key])]!++
    const chi = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chi).toBeLessThan(23.5) // 4 degrees of freedom, one in 10,000
  })

  it('refuses an index outside the range', () => {
    expect(() => permuteIndex(5, 5, [0])).toThrow(RangeError)
    expect(() => permuteIndex(0, 0, [0])).toThrow(RangeError)
  })
})
