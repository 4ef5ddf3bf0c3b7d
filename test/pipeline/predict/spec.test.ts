import { describe, expect, test } from 'vitest'
import { maskIds } from '../../../src/pipeline/predict/spec.js'

const unnamed = (outputs: number, ...tumorOutputs: number[]) => ({ outputs, tumorOutputs, labelNames: null })
const named = { outputs: 3, tumorOutputs: [2], labelNames: ['background', 'pancreas', 'pancreas tumor'] }

describe('the ids of a mask', () => {
  test.each([
    [{ '2': 5 }, unnamed(3, 2), [0, 1, 5]],
    ['leaderboard', unnamed(2, 1), [0, 1]],
    [{ 'pancreas-tumor': 4, Pancreas: 3 }, named, [0, 3, 4]],
    [null, named, [0, 1, 2]],
  ] as const)('follow the map %j', (map, weights, ids) => {
    expect(maskIds(map, weights)).toEqual(ids)
  })

  test.each([
    [{ '3': 1 }, unnamed(3, 2), /--map: no such output of the checkpoint \(expected 0 to 2, found 3\)/],
    [{ '1': 256 }, unnamed(3, 2), /--map: wrong id \(expected 0 to 255, found 256\)/],
    ['leaderboard', unnamed(5), /the checkpoint does not state its tumor outputs/],
    [{ liver: 1 }, unnamed(3, 2), /the checkpoint does not name its outputs \(found liver\)/],
    [{ liver: 1 }, named, /expected 0 to 2, or background, pancreas, pancreas tumor, found liver/],
    [{ '2': 4, 'pancreas tumor': 3 }, named, /output 2 has two ids \(4 and 3\)/],
  ] as const)('refuse the map %j', (map, weights, message) => {
    expect(() => maskIds(map, weights)).toThrow(message)
  })
})
