import { describe, expect, test } from 'vitest'
import { compare, comparisonProblem } from '../../src/evaluation/compare.js'
import { PROFILES } from '../../src/evaluation/profiles.js'
import { measuredCase, overlap } from '../helpers/measures.js'
import { measuredLine, numbers, randomLine } from './made-lesions.js'

const options = { seed: 0, names: ['new', 'old'] as const }

/** Cases of 100 true voxels of which so many are found. */
function found(voxels: readonly number[], patient = (at: number) => `p${at}`) {
  return voxels.map((one, at) => measuredCase(`c${at}`, overlap(one, 0, 100 - one), { patient: patient(at) }))
}

function dice(voxels: number): number {
  return (2 * voxels) / (100 + voxels)
}

describe('a figure of two sets of masks', () => {
  const [first, second] = [
    [90, 80, 85, 70, 95, 60],
    [80, 75, 86, 60, 80, 50],
  ]
  const { figures, numCases } = compare(found(first), found(second), PROFILES.freetumor, options)
  const tumor = figures.find(({ name }) => name === 'tumor Dice')!

  test('is compared case by case', () => {
    const differences = first.map((one, at) => dice(one) - dice(second[at]!))
    expect(numCases).toBe(6)
    expect(tumor.difference.mean).toBeCloseTo(differences.reduce((sum, one) => sum + one, 0) / 6, 12)
    expect(tumor.first - tumor.second).toBeCloseTo(tumor.difference.mean, 12)
    expect(tumor.difference.ci![0]).toBeGreaterThan(Math.min(...differences))
    expect(tumor.difference.ci![1]).toBeLessThan(Math.max(...differences))
    // one of six is worse, by the smallest difference: 4 of 64 sign patterns are as extreme
    expect(tumor.wilcoxon).toMatchObject({ statistic: 1, n: 6, exact: true })
    expect(tumor.wilcoxon!.p).toBeCloseTo(4 / 64, 12)
    expect(tumor.bootstrapP).toBeLessThan(0.05)
  })

  test('has a narrower interval than two separate intervals suggest', () => {
    const difficult = [10, 30, 50, 70, 90, 95]
    const better = difficult.map((one) => one + 2)
    const paired = compare(found(better), found(difficult), PROFILES.freetumor, options).figures[0]!
    expect(paired.difference.ci![0]).toBeGreaterThan(0)
  })

  test('treats the scans of a patient as one', () => {
    const of = (numPatients: number) =>
      compare(
        found([...first, ...first], (at) => `p${at % numPatients}`),
        found([...second, ...second]),
        PROFILES.freetumor,
        options,
      )
    expect(of(6)).toMatchObject({ numCases: 12, numPatients: 6 })
    expect(of(6).figures[0]!.wilcoxon).toMatchObject({ n: 6 })
    expect(of(5)).toMatchObject({ numCases: 12, numPatients: 5 })
    expect(of(5).figures[0]).toMatchObject({ difference: { ci: null }, bootstrapP: null, wilcoxon: null })
  })

  test.each([1, 2, 5])('has no interval and no p value for %i pairs', (pairs) => {
    const few = compare(
      found(first.slice(0, pairs)),
      found(second.slice(0, pairs)),
      PROFILES.freetumor,
      options,
    )
    for (const { difference, bootstrapP, wilcoxon } of few.figures)
      expect([difference.ci, bootstrapP, wilcoxon]).toEqual([null, null, null])
    expect(comparisonProblem(JSON.parse(JSON.stringify(few)))).toBeNull()
  })
})

test('masks compared with themselves show no difference', () => {
  const cases = found([90, 20, 50, 60, 70, 80])
  for (const { difference, bootstrapP, wilcoxon } of compare(cases, cases, PROFILES.freetumor, options)
    .figures)
    expect({ difference, bootstrapP, wilcoxon }).toEqual({
      difference: { mean: 0, ci: [0, 0], n: 6 },
      bootstrapP: 1,
      wilcoxon: null,
    })
})

test('cases that one set lacks are not compared, and one-sided scores are counted', () => {
  const healthy = (called: number) => measuredCase('healthy', overlap(0, called, 0, called > 0 ? 0 : null))
  const sick = (id: string) => measuredCase(id, overlap(50, 0, 50, 0.5))
  const { figures, numCases } = compare(
    [healthy(10), sick('a'), sick('only here')],
    [healthy(0), sick('a')],
    PROFILES.difftumor,
    options,
  )
  expect(numCases).toBe(2)
  expect(figures[0]).toMatchObject({ name: 'tumor Dice', difference: { n: 1 }, oneSided: 1 })
})

test('lesion rates and false positives are compared over resampled patients', () => {
  const next = numbers(5)
  const lines = Array.from({ length: 12 }, () => randomLine(next))
  const good = lines.map((line, at) => measuredLine(`${at}`, { ...line, predicted: line.truth }))
  const bad = lines.map((line, at) => measuredLine(`${at}`, line))
  const comparison = compare(good, bad, PROFILES.lesion, options)
  const named = (name: string) => comparison.figures.find((figure) => figure.name === name)!
  expect(named('lesion sensitivity')).toMatchObject({ first: 1, better: 'higher', wilcoxon: null })
  expect(named('lesion sensitivity').difference.mean).toBeGreaterThan(0)
  expect(named('lesion precision').first).toBe(1)
  expect(named('false positives')).toMatchObject({ first: 0, unit: 'lesions', better: 'lower' })
  expect(named('false positives').difference.mean).toBeLessThan(0)
  expect(comparisonProblem(JSON.parse(JSON.stringify(comparison)))).toBeNull()
  expect(compare(good, bad, PROFILES.lesion, options)).toEqual(comparison)
})
