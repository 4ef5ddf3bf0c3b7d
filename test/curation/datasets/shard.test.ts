import { describe, expect, it, test } from 'vitest'
import { casesOfShard, inWholeOrder, refuseWrongShard } from '../../../src/curation/datasets/shard.js'
import { openStream } from '../../../src/simulation/random.js'

/** Random numbers of cases and shards, the same at every run. */
const draws = Array.from({ length: 300 }, (_, at) => {
  const stream = openStream([at, 'shards'])
  return { total: stream.integer(0, 500), count: stream.integer(1, 60), more: stream.integer(0, 40) }
})
const list = (total: number): number[] => Array.from({ length: total }, (_, at) => at)
const shards = <T>(cases: readonly T[], count: number): T[][] =>
  list(count).map((at) => casesOfShard(cases, { index: at + 1, count }))

describe('the shards of any number of cases', () => {
  it('hold each case once', () => {
    for (const { total, count } of draws)
      expect(
        shards(list(total), count)
          .flat()
          .sort((a, b) => a - b),
      ).toEqual(list(total))
  })

  it('differ by at most one case', () => {
    for (const { total, count } of draws) {
      const sizes = shards(list(total), count).map(({ length }) => length)
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
    }
  })

  it('keep their cases when cases are added at the end', () => {
    for (const { total, count, more } of draws) {
      const [before, after] = [shards(list(total), count), shards(list(total + more), count)]
      for (const [at, mine] of before.entries()) expect(after[at]!.slice(0, mine.length)).toEqual(mine)
    }
  })

  it('give the whole list in its order', () => {
    for (const { total, count } of draws)
      expect(inWholeOrder(shards(list(total), count))).toEqual(list(total))
  })
})

test.each([
  [0, 3],
  [4, 3],
  [1.5, 3],
  [1, 0],
  [Number.NaN, 3],
  [1, 1e6],
])('refuses shard %d of %d', (index, count) => {
  expect(() => refuseWrongShard({ index, count })).toThrow(`--shard: wrong shard`)
})
