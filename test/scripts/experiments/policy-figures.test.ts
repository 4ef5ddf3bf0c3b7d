import { describe, expect, it } from 'vitest'
import {
  diceAt,
  figuresAt,
  type ScoredCase,
  thresholdAt,
} from '../../../scripts/experiments/policy-figures.js'

const healthy = (...scores: readonly number[]): ScoredCase => ({
  case: 'healthy',
  truth: [],
  predicted: scores.map((score) => ({ score, voxels: 5, shared: [] })),
})
const sick: ScoredCase = {
  case: 'sick',
  truth: [100, 20],
  predicted: [
    { score: 0.9, voxels: 80, shared: [[0, 60]] },
    { score: 0.5, voxels: 30, shared: [[1, 10]] },
    { score: 0.3, voxels: 40, shared: [] },
  ],
}

describe('the operating point', () => {
  it('is the lowest score with at most the wanted false positives on average', () => {
    const scans = [healthy(0.9, 0.4), healthy(0.8, 0.6), healthy()]
    expect(thresholdAt(1, scans)).toBe(0.6)
    expect(thresholdAt(2, scans)).toBe(0)
    expect(thresholdAt(0, scans)).toBe(Number.POSITIVE_INFINITY)
  })

  it('drops all lesions of one score together', () => {
    expect(thresholdAt(1, [healthy(0.7, 0.5), healthy(0.5)])).toBe(0.7)
  })

  it('gives Dice, sensitivity and false positives of the lesions that are left', () => {
    expect(diceAt(0, sick)).toBeCloseTo((2 * 70) / (120 + 150), 12)
    expect(diceAt(0.6, sick)).toBeCloseTo((2 * 60) / (120 + 80), 12)
    expect(figuresAt(0.6, [sick, healthy(0.7), healthy(0.2)])).toEqual({
      threshold: 0.6,
      dice: expect.closeTo(0.6, 12),
      sensitivity: 0.5,
      falsePositives: 0.5,
      lesionFree: 0.5,
    })
  })
})
