import { describe, expect, it, test } from 'vitest'
import { type ArrayPlan, planArray } from '../../src/cluster/array.js'
import { numbersOf } from '../../src/cluster/ranges.js'
import { casesOfShard } from '../../src/curation/datasets/shard.js'
import { openStream } from '../../src/simulation/random.js'

const NO_LIMITS = { maxArraySize: 1001, maxSubmitJobs: null }

/** The shards that the tasks of a plan work on. */
const shardsOf = ({ slices }: ArrayPlan): number[] =>
  slices.flatMap(({ array, offset }) => {
    const tasks = numbersOf(array.replace(/%\d+$/, ''), 1_000_000, '--array')
    return tasks.map((task) => offset + task)
  })
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1)

test('161,310 cases are 1,000 shards of one array, and each case is in one of them', () => {
  const plan = planArray({ cases: 161_310, shards: 1000, atOnce: 50 }, NO_LIMITS)
  expect(plan).toEqual({
    shards: 1000,
    casesPerShard: 162,
    slices: [{ array: '1-1000%50', offset: 0, tasks: 1000, wave: 0 }],
  })
  const cases = upTo(161_310)
  const seen = new Uint8Array(161_311)
  for (const index of shardsOf(plan))
    for (const one of casesOfShard(cases, { index, count: plan.shards })) seen[one]!++
  expect(seen.subarray(1).every((times) => times === 1)).toBe(true)
})

describe('a planned array', () => {
  it('has each shard once and respects every limit', () => {
    for (let at = 0; at < 500; at++) {
      const stream = openStream([at, 'arrays'])
      const wish = {
        cases: stream.integer(1, 5000),
        shards: stream.integer(1, 3000),
        atOnce: stream.integer(1, 400),
      }
      const limits = { maxArraySize: stream.integer(2, 1500), maxSubmitJobs: stream.integer(3, 2000) }
      const plan = planArray(wish, limits)
      expect(plan.shards).toBe(Math.min(wish.cases, wish.shards))
      expect(shardsOf(plan)).toEqual(upTo(plan.shards))
      for (const { array, tasks } of plan.slices) {
        expect(tasks).toBeLessThan(limits.maxArraySize)
        expect(Number(/%(\d+)/.exec(array)?.[1] ?? 0)).toBeLessThanOrEqual(wish.atOnce)
      }
      const waves = new Map<number, number>()
      for (const { wave, tasks } of plan.slices) waves.set(wave, (waves.get(wave) ?? 0) + tasks)
      // and the job after them; from the second wave on, also the one that submits them
      const besides = waves.size === 1 ? 1 : 2
      for (const tasks of waves.values()) expect(tasks + besides).toBeLessThanOrEqual(limits.maxSubmitJobs)
    }
  })

  it('has no empty shard', () => {
    expect(planArray({ cases: 3, shards: 20 }, NO_LIMITS).slices).toMatchObject([{ array: '1-3', tasks: 3 }])
  })

  it('is split into arrays below MaxArraySize, all in one wave without a limit of jobs', () => {
    const { slices } = planArray({ cases: 161_310, shards: 2500 }, NO_LIMITS)
    expect(slices.map(({ array, offset, wave }) => [array, offset, wave])).toEqual([
      ['1-1000', 0, 0],
      ['1-1000', 1000, 0],
      ['1-500', 2000, 0],
    ])
  })
})

test('selected shards are in arrays whose task ids stay below MaxArraySize', () => {
  const only = [3, 7, 8, 9, 12, 40]
  const plan = planArray({ cases: 100, shards: 100, atOnce: 2, only }, { ...NO_LIMITS, maxArraySize: 8 })
  expect(plan.slices.map(({ array, offset }) => [array, offset])).toEqual([
    ['1,5-7%2', 2],
    ['1', 11],
    ['1', 39],
  ])
})

test('refuses limits that allow no task, and no case', () => {
  const wish = { cases: 10, shards: 2 }
  expect(() => planArray(wish, { maxArraySize: 1, maxSubmitJobs: null })).toThrow('accepts no task')
  expect(() => planArray(wish, { maxArraySize: 1001, maxSubmitJobs: 1 })).toThrow('accepts no task')
  expect(() => planArray({ ...wish, cases: 0 }, NO_LIMITS)).toThrow('no case')
  expect(() => planArray({ ...wish, shards: 0 }, NO_LIMITS)).toThrow('--array: wrong value')
})
