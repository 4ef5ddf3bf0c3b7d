import { expect, it } from 'vitest'
import type { FittedCase } from '../../../dist/evaluation/operating-fit.js'
import { figuresAt, silentResult } from '../../../scripts/experiments/silent-cell.js'

const predicted = (probability: number, touches: readonly number[] = []) => ({
  features: {
    ...{ label: 2, volumeMl: 1, elongation: 1, compactness: 1, organContact: 1 },
    probability,
    meanProbability: probability,
  },
  touches,
})
const healthy = (caseId: string, ...scores: readonly number[]): FittedCase => ({
  ...{ caseId, healthy: true, numTrue: 0 },
  predicted: scores.map((score) => predicted(score)),
})
const sick = (caseId: string, ...scores: readonly number[]): FittedCase => ({
  ...{ caseId, healthy: false, numTrue: scores.length },
  predicted: scores.map((score, at) => predicted(score, [at])),
})
const RULE = { terms: [{ feature: 'probability' as const, label: null, weight: 1 }], intercept: 0 }

it('counts lesion-free scans, detected lesions and false positives above a threshold', () => {
  const cases = [healthy('a', 0.2, 0.6), healthy('b'), sick('c', 0.5, 0.9)]
  expect(figuresAt({ ...RULE, threshold: null }, cases)).toEqual({
    lesionFree: 0.5,
    sensitivity: 1,
    falsePositives: 1,
  })
  expect(figuresAt({ ...RULE, threshold: 0.55 }, cases)).toEqual({
    lesionFree: 0.5,
    sensitivity: 0.5,
    falsePositives: 0.5,
  })
})

it('fits thresholds on the validation cases and measures them on the test cases', () => {
  const validation = [healthy('a', 0.3), healthy('b', 0.7), sick('c', 0.4, 0.6, 0.8, 0.9)]
  const test = [healthy('e', 0.77), healthy('d', 0.45), sick('f', 0.42, 0.95)]
  const { rule, before, atLoss, lesionFreeCases } = silentResult(
    { losses: [0, 0.25, 0.5], primaryLoss: 0.25 },
    validation,
    test,
  )
  expect(rule).toBe('probability')
  expect(before).toEqual({ lesionFree: 0, sensitivity: 1, falsePositives: 1 })
  // the thresholds lie between 0.3 and 0.4, 0.4 and 0.6, and 0.7 and 0.8
  expect(atLoss).toEqual([
    { loss: 0, lesionFree: 0, sensitivity: 1, falsePositives: 1 },
    { loss: 0.25, lesionFree: 0.5, sensitivity: 0.5, falsePositives: 0.5 },
    { loss: 0.5, lesionFree: 0.5, sensitivity: 0.5, falsePositives: 0.5 },
  ])
  expect(lesionFreeCases).toEqual([true, false])
})
