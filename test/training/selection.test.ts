import { describe, expect, test } from 'vitest'
import type { ClassCounts } from '../../src/training/events.js'
import { bestOf, reasonToEnd, selectTumorDice } from '../../src/training/selection.js'

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

const history = (...dice: (number | null)[]) =>
  dice.map((tumorDice, at) => ({ step: (at + 1) * 10, tumorDice }))

describe('the best of several validations', () => {
  test('is the first of the highest, and none without a tumor', () => {
    expect(bestOf(history(0.2, 0.5, 0.5, 0.4))).toEqual({ step: 20, tumorDice: 0.5 })
    expect(bestOf(history(0, 0))).toEqual({ step: 10, tumorDice: 0 })
    expect(bestOf(history(null, null))).toBeNull()
    expect(bestOf([])).toBeNull()
  })
})

describe('a run ends early', () => {
  const ends = (patience: number, minDelta: number, ...dice: (number | null)[]) =>
    reasonToEnd(history(...dice), { patience, minDelta }) !== null

  test('when as many validations in a row as its patience have not risen', () => {
    expect(ends(2, 0, 0.1, 0.3, 0.2)).toBe(false)
    expect(ends(2, 0, 0.1, 0.3, 0.2, 0.3)).toBe(true)
    expect(ends(2, 0, 0.1, 0.3, 0.2, 0.31)).toBe(false)
  })

  test('when they have risen by too little, each against the best that counted', () => {
    expect(ends(2, 0.05, 0.3, 0.34, 0.36)).toBe(false)
    expect(ends(2, 0.05, 0.3, 0.34, 0.35)).toBe(true)
  })

  test('when no case has a tumor, for that never rises', () => {
    expect(ends(3, 0, null, null)).toBe(false)
    expect(ends(3, 0, null, null, null)).toBe(true)
  })

  test('never without the setting', () => {
    expect(reasonToEnd(history(0.5, 0.4, 0.3, 0.2, 0.1), null)).toBeNull()
  })

  test('with a reason that names the best', () => {
    const reason = reasonToEnd(history(0.5, 0.4), { patience: 1, minDelta: 0.01 })
    expect(reason).toContain('not risen by more than 0.01 in 1 validations (best 0.5000 after step 10)')
  })
})
