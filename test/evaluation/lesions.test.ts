import { describe, expect, test } from 'vitest'
import { summarizeLesions } from '../../src/evaluation/lesions.js'
import type { CaseMeasures } from '../../src/evaluation/measures.js'
import { PROFILES } from '../../src/evaluation/profiles.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'
import { common, measuredLine, numbers, randomLine } from './made-lesions.js'

const cases: readonly CaseMeasures[] = [
  measuredCase('a', overlap(30, 10, 10), {
    lesions: [
      lesion('true', 12, true),
      lesion('true', 19.99, false),
      lesion('true', 20, true),
      lesion('true', 60, true),
      lesion('predicted', 55, true),
      lesion('predicted', 21, true),
      lesion('predicted', 8, false, { volumeMl: 0.3 }),
    ],
    lesionOverlaps: [
      [0, 1, 400],
      [2, 1, 1000],
      [3, 0, 60000],
    ],
  }),
  measuredCase('b', overlap(0, 5, 0), { lesions: [lesion('predicted', 49.9, false, { volumeMl: 0.7 })] }),
  measuredCase('c', overlap(0, 0, 9), { lesions: [lesion('true', 5, false)] }),
  measuredCase('d', overlap(0, 0, 0)),
]
const summary = summarizeLesions(cases, PROFILES.lesion, 0)

describe('lesions', () => {
  test('are counted as detected or false positive over all cases together', () => {
    expect(summary.all).toMatchObject({ numTrue: 5, numDetected: 3, numPredicted: 4, numFalsePositive: 2 })
    expect(summary.all.sensitivity).toMatchObject({ mean: 0.6, n: 2 })
    expect(summary.all.precision).toMatchObject({ mean: 0.5, n: 2 })
    expect(summary.all.f1?.mean).toBeCloseTo((2 * 0.6 * 0.5) / 1.1, 12)
    expect(summary.all.f1?.n).toBe(3)
  })

  test('fall into half-open bins of diameter and of radius', () => {
    const bins = summary.bins.map(({ by, from, to, numTrue }) => [by, from, to, numTrue])
    expect(bins).toEqual([
      ['diameterMm', 0, 5, 0],
      ['diameterMm', 5, 10, 1],
      ['diameterMm', 10, 20, 2],
      ['diameterMm', 20, 50, 1],
      ['diameterMm', 50, null, 1],
      ['radiusMm', 0, 5, 1],
      ['radiusMm', 5, 10, 2],
      ['radiusMm', 10, 15, 1],
      ['radiusMm', 15, 20, 0],
      ['radiusMm', 20, null, 1],
    ])
  })

  test('have a sensitivity by their own size and a precision by the size of the predicted ones', () => {
    const [tiny, early, small, middle, large] = summary.bins
    expect(tiny).toMatchObject({ numTrue: 0, numPredicted: 0, sensitivity: null })
    expect(early).toMatchObject({
      numDetected: 0,
      numPredicted: 1,
      numFalsePositive: 1,
      sensitivity: { mean: 0 },
    })
    expect(early!.f1?.mean).toBe(0)
    expect(small).toMatchObject({ numDetected: 1, numPredicted: 0, sensitivity: { mean: 0.5 } })
    expect(middle!.precision?.mean).toBe(0.5)
    expect(large).toMatchObject({ sensitivity: { mean: 1 }, precision: { mean: 1 }, f1: { mean: 1 } })
  })

  test('have no figure in an empty bin', () => {
    expect(summary.bins[8]).toMatchObject({ numTrue: 0, sensitivity: null, precision: null, f1: null })
  })
})

test('a mask without any predicted lesion has an F1 of 0, not null', () => {
  const blind = [measuredCase('a', overlap(0, 0, 9), { lesions: [lesion('true', 12, false)] })]
  const { sensitivity, precision, f1 } = summarizeLesions(blind, PROFILES.lesion, 0).all
  expect({ sensitivity: sensitivity?.mean, precision, f1: f1?.mean }).toEqual({
    sensitivity: 0,
    precision: null,
    f1: 0,
  })
  const healthy = [measuredCase('a', overlap(0, 9, 0), { lesions: [lesion('predicted', 12, false)] })]
  expect(summarizeLesions(healthy, PROFILES.lesion, 0).all).toMatchObject({
    precision: { mean: 0 },
    f1: null,
  })
})

test('the false-positive volume is a mean over all cases', () => {
  expect(summary.falsePositiveVolumeMl).toMatchObject({ n: 4 })
  expect(summary.falsePositiveVolumeMl?.mean).toBeCloseTo(0.25, 12)
})

test('patients are sick or healthy by any tumor voxel', () => {
  expect(summary.patientSensitivity).toMatchObject({ mean: 0.5, n: 2 })
  expect(summary.patientSpecificity).toMatchObject({ mean: 0.5, n: 2 })
})

test('healthy cases have their own figures of false positives', () => {
  expect(summary.healthy).toMatchObject({
    numCases: 2,
    // 1 of 2, by SciPy
    lesionFree: { mean: 0.5, n: 2, ci: [expect.closeTo(0.0945312057, 9), expect.closeTo(0.9054687943, 9)] },
    falsePositiveVolumeMl: { n: 2 },
    falsePositiveCount: { mean: 0.5 },
  })
  expect(summary.healthy.falsePositiveVolumeMl?.mean).toBeCloseTo(0.35, 12)
  expect(summary.falsePositiveCount).toMatchObject({ mean: 0.5, n: 4 })
})

test('every figure equals a count lesion by lesion', () => {
  const next = numbers(7)
  const lines = Array.from({ length: 10 }, () => randomLine(next))
  const measured = lines.map((line, at) => measuredLine(`${at}`, line))
  const { all } = summarizeLesions(measured, PROFILES.lesion, 0)
  const truth = lines.flatMap(({ truth: some, predicted }) => some.map((one) => ({ one, predicted })))
  const predicted = lines.flatMap(({ truth: some, predicted: made }) => made.map((one) => ({ one, some })))
  const detected = truth.filter((t) => t.predicted.some((p) => common(t.one, p) > 0))
  const right = predicted.filter((p) => p.some.some((t) => common(t, p.one) > 0))
  const dice = truth.map((t) => {
    const touching = t.predicted.filter((p) => common(t.one, p) > 0)
    const size = touching.reduce((sum, p) => sum + p.size, t.one.size)
    return (2 * touching.reduce((sum, p) => sum + common(t.one, p), 0)) / size
  })
  const [sensitivity, precision] = [detected.length / truth.length, right.length / predicted.length]
  expect(all.sensitivity?.mean).toBeCloseTo(sensitivity, 12)
  expect(all.precision?.mean).toBeCloseTo(precision, 12)
  expect(all.f1?.mean).toBeCloseTo((2 * sensitivity * precision) / (sensitivity + precision), 12)
  expect(all.lesionDice?.mean).toBeCloseTo(dice.reduce((sum, one) => sum + one, 0) / dice.length, 12)
  expect(all.detectedDice?.mean).toBeCloseTo(dice.reduce((sum, one) => sum + one, 0) / detected.length, 12)
  // the stricter the pair, the fewer of them
  const strict = all.atIou.map(({ numDetected }) => numDetected)
  expect(strict).toEqual([...strict].sort((a, b) => b - a))
  expect(strict[0]).toBeLessThanOrEqual(all.numDetected)
})
