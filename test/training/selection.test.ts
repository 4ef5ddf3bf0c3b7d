import { describe, expect, test } from 'vitest'
import type { ClassCounts } from '../../src/training/events.js'
import { selectTumorDice } from '../../src/training/selection.js'

function counts(
  label: number,
  truePositive: number,
  falsePositive: number,
  falseNegative: number,
): ClassCounts {
  return { label, truePositive, falsePositive, falseNegative }
}

describe('the tumor Dice of a validation', () => {
  test('is summed over cases and divided by those with a tumor', () => {
    const cases = [
      [counts(1, 90, 10, 10), counts(2, 3, 1, 1)],
      [counts(1, 50, 50, 0), counts(2, 0, 0, 8)],
      // no tumor in the truth: false alarms do not count, whatever their number
      [counts(1, 10, 0, 0), counts(2, 0, 500, 0)],
    ]
    const { tumorDice, diceByLabel } = selectTumorDice(cases, [2])
    expect(tumorDice).toBeCloseTo(0.75 / 2, 12)
    expect(diceByLabel['1']).toBeCloseTo((0.9 + 2 / 3 + 1) / 3, 12)
    expect(diceByLabel['2']).toBeCloseTo(0.75 / 2, 12)
  })

  test('counts a case with tumors of two organs once', () => {
    const both = [counts(2, 1, 0, 0), counts(4, 0, 0, 5)]
    const one = [counts(2, 1, 0, 0), counts(4, 0, 9, 0)]
    expect(selectTumorDice([both, one], [2, 4, 6]).tumorDice).toBe(0.75)
  })

  test('is null, not 0 and not NaN, when no case has a tumor', () => {
    expect(selectTumorDice([[counts(1, 4, 0, 0), counts(2, 0, 3, 0)]], [2]).tumorDice).toBeNull()
    expect(selectTumorDice([], [2])).toEqual({ tumorDice: null, diceByLabel: {} })
  })

  test('leaves out labels that no case has', () => {
    expect(selectTumorDice([[counts(1, 4, 0, 0), counts(2, 0, 3, 0)]], [2]).diceByLabel).toEqual({ 1: 1 })
  })
})
