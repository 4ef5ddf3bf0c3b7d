import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openStream, permuteIndex, philox } from '../../src/simulation/random.js'

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
  ] as const)('meets the published answer for counter %j', (counter, key, answer) => {
    const out: [number, number, number, number] = [0, 0, 0, 0]
    philox([...counter], key[0], key[1], out)
    expect(out).toEqual(answer)
  })
})

describe('a stream', () => {
  it('is the same for the same key and another for any other key', () => {
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

  it('draws what its names say, over 100,000 draws', () => {
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

  it('refuses a key that is no whole number', () => {
    expect(() => openStream([0.5])).toThrow(RangeError)
    expect(() => openStream([0]).integer(3, 2)).toThrow(RangeError)
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

  it('gives another order to another key, and holds for ranges of millions', () => {
    const order = (key: number): string =>
      Array.from({ length: 20 }, (_, at) => permuteIndex(at, 5_000_000, [key])).join()
    expect(order(1)).not.toBe(order(2))
  })
})
