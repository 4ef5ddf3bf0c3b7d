import { describe, expect, test } from 'vitest'
import { type CaseCandidate, drawPairs, sizeClass } from '../../src/readers/selection.js'

interface Named extends CaseCandidate {
  readonly name: string
}

let made = 0
const candidate = (side: Named['side'], change: Partial<Named> = {}): Named => {
  const name = `${side} ${made++}`
  return {
    ...{ name, side, organ: 'liver', size: 'small', group: 'a', patient: name, scans: [name] },
    ...change,
  }
}
const many = (count: number, change: Partial<Named> = {}): Named[] =>
  (['real', 'synthetic'] as const).flatMap((side) =>
    Array.from({ length: count }, () => candidate(side, change)),
  )
const all = async (): Promise<boolean> => true

describe('drawPairs', () => {
  test('pairs tumors of one organ, size and group, and lets organs and sizes take turns', async () => {
    const candidates = [
      ...many(20),
      ...many(20, { size: 'large' }),
      ...many(20, { organ: 'kidney', group: 'b' }),
      ...many(20, { organ: 'kidney', size: 'large' }),
    ]
    const { pairs } = await drawPairs(candidates, 16, 1, all)
    const kinds = new Map<string, number>()
    for (const [real, synthetic] of pairs) {
      const kind = ({ organ, size, group }: Named): string => [organ, size, group].join()
      expect(kind(real)).toBe(kind(synthetic))
      expect([real.side, synthetic.side]).toEqual(['real', 'synthetic'])
      kinds.set(kind(real), (kinds.get(kind(real)) ?? 0) + 1)
    }
    expect([...kinds.values()]).toEqual([4, 4, 4, 4])
  })

  test('uses no patient, scan or host CT twice', async () => {
    const host = candidate('real', { scans: ['host'] })
    const painted = candidate('synthetic', { scans: ['painted', 'host'] })
    const samePatient = candidate('synthetic', { patient: host.patient })
    for (let seed = 0; seed < 20; seed++) {
      const { pairs } = await drawPairs([host, painted, samePatient, ...many(3)], 9, seed, all)
      const cases = pairs.flat()
      const scans = cases.flatMap((one) => one.scans)
      const patients = cases.map(({ patient }) => patient)
      expect(new Set(scans).size).toBe(scans.length)
      expect(new Set(patients).size).toBe(patients.length)
      // the real ones of the others find a partner in any order
      expect(pairs.length).toBeGreaterThanOrEqual(3)
    }
  })

  test('leaves out candidates that cannot be cropped, and follows the seed', async () => {
    const candidates = many(8)
    const usable = async ({ name }: Named): Promise<boolean> => name.charCodeAt(name.length - 1) % 2 === 0
    const names = async (seed: number): Promise<string> =>
      JSON.stringify((await drawPairs(candidates, 2, seed, usable)).pairs)
    for (const [real] of (await drawPairs(candidates, 8, 1, usable)).pairs)
      expect(await usable(real)).toBe(true)
    expect(await names(1)).toBe(await names(1))
    expect(new Set(await Promise.all([1, 2, 3, 4, 5].map(names))).size).toBeGreaterThan(1)
  })
})

test.each([
  [4, 'below 10 mm'],
  [10, '10 to 20 mm'],
  [49.9, '20 to 50 mm'],
  [50, 'over 50 mm'],
])('a tumor of %f mm is of the class %s', (mm, name) => {
  expect(sizeClass(mm)).toBe(name)
})
