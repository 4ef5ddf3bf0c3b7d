import { expect, test } from 'vitest'
import { maskIds } from '../../../src/pipeline/predict/spec.js'

test('a map names outputs that exist, and leaves the others as they are', () => {
  expect(maskIds({ '2': 5 }, 3, [2])).toEqual([0, 1, 5])
  expect(maskIds('leaderboard', 2, [1])).toEqual([0, 1])
  expect(() => maskIds({ '3': 1 }, 3, [2])).toThrow(/--map 3:1: the checkpoint has outputs 0 to 2/)
  expect(() => maskIds({ '1': 256 }, 3, [2])).toThrow(/ids of a mask|outputs 0 to 2/)
  expect(() => maskIds('leaderboard', 5, [])).toThrow(/the checkpoint does not state its tumor outputs/)
})
