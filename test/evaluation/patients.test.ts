import { describe, expect, test } from 'vitest'
import { patientRates, patientsOf } from '../../src/evaluation/patients.js'
import { measuredLine, numbers } from './made-lesions.js'

/** A case with at most one true lesion, and predicted ones of these scores. */
function scan(caseId: string, sick: boolean, scores: readonly number[], patient = caseId) {
  const voxel = (at: number) => new Set([at])
  const line = { truth: sick ? [voxel(0)] : [], predicted: scores.map((_, at) => voxel(10 + 2 * at)) }
  return measuredLine(caseId, line, { scores, patient })
}

function aucByHand(sick: readonly number[], healthy: readonly number[]): number {
  const right = sick.flatMap((a) => healthy.map((b): number => (a > b ? 1 : a === b ? 0.5 : 0)))
  return right.reduce((sum, one) => sum + one, 0) / right.length
}

test('the area under the curve is the fraction of pairs in the right order, with ties as half', () => {
  const next = numbers(3)
  for (let trial = 0; trial < 20; trial++) {
    const scores = Array.from({ length: 14 }, () => Math.floor(5 * next()) / 4)
    const cases = scores.map((score, at) =>
      scan(`${at}`, at % 3 === 0, score === 0 ? [] : [score, score / 2]),
    )
    const { patientAuc } = patientRates(patientsOf(cases), trial)
    const of = (sick: boolean) => scores.filter((_, at) => (at % 3 === 0) === sick)
    expect(patientAuc!.mean).toBeCloseTo(aucByHand(of(true), of(false)), 12)
    expect(patientAuc!.ci![0]).toBeLessThanOrEqual(patientAuc!.mean)
    expect(patientAuc!.ci![1]).toBeGreaterThanOrEqual(patientAuc!.mean)
    expect(patientAuc!.n).toBe(14)
  }
})

describe('a patient with several scans', () => {
  const patients = patientsOf([
    scan('a1', false, [], 'a'),
    scan('a2', true, [0.2, 0.9], 'a'),
    scan('b1', false, [], 'b'),
    scan('b2', false, [], 'b'),
    scan('c', false, [0.4]),
  ])

  test('is sick, predicted and scored by any of them', () => {
    expect(patients).toEqual([
      { patient: 'a', numCases: 2, sick: true, called: true, score: 0.9 },
      { patient: 'b', numCases: 2, sick: false, called: false, score: 0 },
      { patient: 'c', numCases: 1, sick: false, called: true, score: 0.4 },
    ])
  })

  test('counts once', () => {
    const rates = patientRates(patients, 0)
    expect(rates.patientSensitivity).toMatchObject({ mean: 1, n: 1 })
    expect(rates.patientSpecificity).toMatchObject({ mean: 0.5, n: 2 })
    expect(rates.patientAuc?.mean).toBe(1)
  })
})

test('without healthy patients there is no specificity and no area', () => {
  const rates = patientRates(patientsOf([scan('a', true, []), scan('b', true, [0.5])]), 0)
  expect(rates).toMatchObject({ patientSpecificity: null, patientAuc: null })
  expect(rates.patientSensitivity?.mean).toBe(0.5)
})
