import { describe, expect, test } from 'vitest'
import { aggregate } from '../../src/evaluation/aggregate.js'
import { PROFILES } from '../../src/evaluation/profiles.js'
import { measuredCase, overlap } from '../helpers/measures.js'

const options = { seed: 0 }
const sick = measuredCase('sick', overlap(30, 10, 10)) // 0.75
const missed = measuredCase('missed', overlap(0, 0, 20)) // 0
const falseAlarm = measuredCase('falseAlarm', overlap(0, 5, 0))
const healthy = measuredCase('healthy', overlap(0, 0, 0))

describe('profile freetumor', () => {
  test('counts tumor Dice over the cases with a tumor', () => {
    const { tumorDice } = aggregate([sick, missed, falseAlarm, healthy], PROFILES.freetumor, options)
    expect(tumorDice).toEqual({ mean: 0.375, ci: null, n: 2 })
    const more = ['a', 'b', 'c', 'd'].map((caseId) => ({ ...sick, caseId, patient: caseId }))
    const { ci } = aggregate([sick, missed, healthy, ...more], PROFILES.freetumor, options).tumorDice!
    expect(ci![0]).toBeGreaterThanOrEqual(0)
    expect(ci![1]).toBeLessThanOrEqual(0.75)
  })

  test('treats the tumors of all organs as one', () => {
    const mixedUp = measuredCase('mixedUp', overlap(10, 0, 0), {
      labels: [
        { label: 2, ...overlap(5, 0, 5) },
        { label: 4, ...overlap(0, 5, 0) },
      ],
    })
    const summary = aggregate([mixedUp], PROFILES.freetumor, options)
    expect(summary.tumorDice?.mean).toBe(1)
    expect(summary.classes['2']?.dice?.mean).toBeCloseTo(2 / 3, 12)
    expect(summary.classes['4']?.dice).toBeNull()
  })
})

describe('profile voco', () => {
  test('averages over the labels of a case first, then over cases', () => {
    const both = measuredCase('both', overlap(10, 0, 0), {
      labels: [
        { label: 1, ...overlap(10, 0, 0) },
        { label: 2, ...overlap(1, 1, 1) },
      ],
    })
    const organOnly = measuredCase('organOnly', overlap(0, 3, 0), {
      labels: [
        { label: 1, ...overlap(1, 3, 3) },
        { label: 2, ...overlap(0, 3, 0) },
      ],
    })
    const summary = aggregate([both, organOnly], PROFILES.voco, options)
    // (1 + 0.5) / 2 and 0.25; all labels of all cases at once would give 1.75 / 3
    expect(summary.meanDice).toMatchObject({ mean: 0.5, n: 2 })
    expect(summary.classes['1']?.dice).toMatchObject({ mean: 0.625, n: 2 })
    expect(summary.classes['2']?.dice).toMatchObject({ mean: 0.5, n: 1 })
  })
})

describe('profile difftumor', () => {
  test('scores a tumor predicted in a healthy scan 0 and omits empty pairs', () => {
    const cases = [
      measuredCase('sick', overlap(30, 10, 10, 0.5)),
      measuredCase('falseAlarm', overlap(0, 5, 0, 0)),
      healthy,
    ]
    const { tumorDice, tumorNsd, classes } = aggregate(cases, PROFILES.difftumor, options)
    expect(tumorDice).toMatchObject({ mean: 0.375, n: 2 })
    expect(tumorNsd).toMatchObject({ mean: 0.25, n: 2 })
    expect(classes['2']?.nsd).toMatchObject({ mean: 0.25, n: 2 })
  })

  test('is the only profile with a surface Dice', () => {
    expect(aggregate([sick], PROFILES.freetumor, options).classes['2']).not.toHaveProperty('nsd')
  })
})

test('the order of the cases has no influence', () => {
  const cases = [sick, missed, falseAlarm, healthy]
  expect(aggregate([...cases].reverse(), PROFILES.lesion, options)).toEqual(
    aggregate(cases, PROFILES.lesion, options),
  )
})

test('the summary is marked as resampled if one case was, and lists failed cases', () => {
  const prepared = { ...sick, grid: 'prepared' as const }
  const resampled = { ...missed, grid: 'resampled' as const }
  const gridOf = (...cases: (typeof sick)[]) => aggregate(cases, PROFILES.freetumor, options).grid
  expect(gridOf(prepared)).toBe('prepared')
  expect(gridOf(prepared, resampled)).toBe('resampled')
  expect(gridOf()).toBe('prepared')
  const { failedCases } = aggregate([sick], PROFILES.freetumor, { seed: 0, failedCases: ['b', 'a'] })
  expect(failedCases).toEqual(['a', 'b'])
})

test('no case gives no figure, and no NaN', () => {
  const summary = aggregate([], PROFILES.lesion, options)
  expect(summary).toMatchObject({ numCases: 0, classes: {}, tumorDice: null, meanDice: null })
  expect(summary.lesions).toMatchObject({ falsePositiveVolumeMl: null, patientSensitivity: null })
})
