import { describe, expect, test } from 'vitest'
import { readerOrder } from '../../src/readers/order.js'

const study = { seed: 3, cases: 30, repeated: [2, 9, 17, 21] }

describe('readerOrder', () => {
  test('shows every case once, and the repeated ones again after half of the places', () => {
    const order = readerOrder(study, 1)
    expect(order).toHaveLength(34)
    const firsts = order.filter(({ showing }) => showing === 1).map((one) => one.case)
    expect([...firsts].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, at) => at + 1))
    for (const repeated of study.repeated) {
      const places = order.flatMap((one, at) => (one.case === repeated ? [at] : []))
      expect(places[1]! - places[0]!).toBe(17)
      expect(order[places[1]!]!.showing).toBe(2)
    }
  })

  test('differs between readers and seeds, and is the same each time', () => {
    const text = (seed: number, reader: number): string =>
      JSON.stringify(readerOrder({ ...study, seed }, reader))
    expect(text(3, 1)).toBe(text(3, 1))
    expect(new Set([text(3, 1), text(3, 2), text(4, 1)]).size).toBe(3)
  })
})
