import { expect, test } from 'vitest'
import { FROC_RATES, frocOf } from '../../src/evaluation/froc.js'
import { common, type LineCase, measuredLine, numbers, randomLine } from './made-lesions.js'

interface Scored extends LineCase {
  readonly scores: readonly number[]
}

/** Sensitivity and false positives per case when only lesions of the threshold or more are called. */
function byHand(cases: readonly Scored[], threshold: number): { rate: number; sensitivity: number } {
  let [found, all, wrong] = [0, 0, 0]
  for (const { truth, predicted, scores } of cases) {
    const called = predicted.filter((_, at) => scores[at]! >= threshold)
    all += truth.length
    found += truth.filter((t) => called.some((p) => common(t, p) > 0)).length
    wrong += called.filter((p) => !truth.some((t) => common(t, p) > 0)).length
  }
  return { rate: wrong / cases.length, sensitivity: found / all }
}

test('the curve equals a count at every threshold, with equal scores together', () => {
  const next = numbers(2)
  for (let trial = 0; trial < 8; trial++) {
    const cases = Array.from({ length: 6 }, (): Scored => {
      const line = randomLine(next)
      // few values, so that many are equal
      return { ...line, scores: line.predicted.map(() => Math.floor(6 * next()) / 6) }
    })
    const froc = frocOf(
      cases.map((line, at) => measuredLine(`${at}`, line, { scores: line.scores })),
      0,
    )!
    const thresholds = [...new Set(cases.flatMap(({ scores }) => scores))].sort((a, b) => b - a)
    const points = thresholds.map((threshold) => ({ threshold, ...byHand(cases, threshold) }))
    expect(froc.points).toEqual(
      points.map(({ threshold, rate, sensitivity }) => ({
        threshold,
        falsePositivesPerCase: rate,
        sensitivity,
      })),
    )
    const best = FROC_RATES.map((most) =>
      Math.max(0, ...points.filter(({ rate }) => rate <= most).map(({ sensitivity }) => sensitivity)),
    )
    expect(froc.at.map(({ sensitivity }) => sensitivity!.mean)).toEqual(best)
    expect(froc.mean!.mean).toBeCloseTo(best.reduce((sum, one) => sum + one, 0) / best.length, 12)
    for (const { sensitivity } of froc.at)
      expect(sensitivity!.ci![0]).toBeLessThanOrEqual(sensitivity!.ci![1])
  }
})

test('without probabilities lesions are scored by their volume', () => {
  const voxels = (from: number, to: number) => new Set(Array.from({ length: to - from }, (_, n) => from + n))
  const line = { truth: [voxels(0, 3)], predicted: [voxels(0, 2), voxels(20, 29)] }
  expect(frocOf([measuredLine('a', line)], 0)!.points).toEqual([
    { threshold: 0.009, falsePositivesPerCase: 1, sensitivity: 0 },
    { threshold: 0.002, falsePositivesPerCase: 1, sensitivity: 1 },
  ])
})

test('there is no curve without a true lesion, and a flat one without a prediction', () => {
  const voxel = [new Set([1])]
  expect(frocOf([measuredLine('a', { truth: [], predicted: voxel })], 0)).toBeNull()
  const blind = frocOf([measuredLine('a', { truth: voxel, predicted: [] })], 0)!
  expect(blind.points).toEqual([])
  expect(blind.mean).toEqual({ mean: 0, ci: null, n: 1 })
})
