import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { uniformSizes } from '../../../scripts/experiments/arms.js'
import type { EarlyCell, EarlyResult } from '../../../scripts/experiments/early-cell.js'
import {
  diameterMm,
  earlyCurves,
  earlyFigures,
  sizesMissed,
} from '../../../scripts/experiments/early-figures.js'
import { writeEarlyPage } from '../../../scripts/experiments/early-page.js'
import { EARLY_PLAN, SHRUNK_PLAN } from '../../../scripts/experiments/early-plan.js'
import { concludeEarly, successPower } from '../../../scripts/experiments/early-verdict.js'
import type { ScoredCase } from '../../../scripts/experiments/policy-figures.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const healthy = (...scores: readonly number[]): ScoredCase => ({
  case: 'healthy',
  truth: [],
  predicted: scores.map((score) => ({ score, voxels: 5, shared: [] })),
})
/** Lesions of 7.3 and 12.4 mm; the small one has the lower score. */
const sick: ScoredCase = {
  case: 'sick',
  truth: [60, 300],
  predicted: [
    { score: 0.4, voxels: 40, shared: [[0, 30]] },
    { score: 0.9, voxels: 80, shared: [[1, 60]] },
    { score: 0.6, voxels: 40, shared: [] },
  ],
}

describe('figures of early tumors', () => {
  it('count lesions by diameter, and patients, at an operating point', () => {
    expect(diameterMm(60)).toBeCloseTo(7.29, 2)
    const figures = earlyFigures(0.5, [sick, healthy(0.6, 0.7), healthy(0.3)])
    expect(figures.bins).toEqual([
      { lesions: 0, detected: 0 },
      { lesions: 1, detected: 0 },
      { lesions: 1, detected: 1 },
      { lesions: 0, detected: 0 },
      { lesions: 0, detected: 0 },
    ])
    expect(figures).toMatchObject({ patientSensitivity: 1, patientSpecificity: 0.5, falsePositives: 1 })
  })

  it('have an AUC of patients and a FROC whose false positives are those of all cases', () => {
    const { auc, froc } = earlyCurves([sick, healthy(0.95), healthy(0.3)])
    expect(auc).toBe(0.5)
    const at = (rate: number) => froc.find((one) => one.rate === rate)!.sensitivity
    expect(at(1 / 8)).toBe(0)
    expect(at(1 / 2)).toBe(0.5)
    expect(at(1)).toBe(1)
  })

  it('give the sizes that a curriculum reads, and the uniform diameters of its opponent', () => {
    const measured = sizesMissed(0.5, [sick])
    expect(measured).toEqual([
      { organ: 'liver', diameterMm: [0, 5], found: 0, missed: 0 },
      { organ: 'liver', diameterMm: [5, 10], found: 0, missed: 1 },
      { organ: 'liver', diameterMm: [10, 20], found: 1, missed: 0 },
    ])
    const uniform = uniformSizes(measured)
    expect(uniform.map(({ diameterMm: [from] }) => from)).toEqual(
      Array.from({ length: 15 }, (_, at) => 5 + at),
    )
    expect(new Set(uniform.map(({ found, missed }) => found + missed))).toEqual(new Set([0]))
  })
})

function cell(seed: number, detected: number): EarlyCell {
  const result = (found: number): EarlyResult => {
    const bins = [0, 50, 20, 0, 0].map((lesions, at) => ({ lesions, detected: at === 1 ? found : 0 }))
    const rates = { dice: 0.3, patientSensitivity: 1, patientSpecificity: 0.5, falsePositives: 1 }
    const figures = { threshold: 0.5, bins, ...rates }
    return { test: figures, unfiltered: figures, auc: 0.7, froc: [{ rate: 1, sensitivity: 0.5 }] }
  }
  const arms = {
    start: result(5),
    realOnly: result(10),
    uniformSizes: result(20),
    missedSizes: result(20 + detected),
  }
  return { seed, labelled: 4, arms, missedSizes: sizesMissed(0, [sick]), cpuSeconds: { start: 10 } }
}

describe('the verdict on early tumors', () => {
  it('is a success for a mean of at least 5 points whose lower end lies above 0', () => {
    const verdict = concludeEarly(EARLY_PLAN, [cell(1, 3), cell(2, 4), cell(3, 5)])
    expect(verdict.primary).toMatchObject({ success: true })
    expect(verdict.primary!.gain.mean).toBeCloseTo(0.08, 12)
    expect(verdict.toRealOnly.missedSizes!.mean).toBeCloseTo(0.28, 12)
    expect(verdict.lesions).toEqual([50, 50, 50])
  })

  it('compares the two arms that the plan names', () => {
    const cells = [1, 2].map((seed) => {
      const { arms, ...rest } = cell(seed, 0)
      return { ...rest, arms: { ...arms, shrunk: arms.realOnly! } }
    })
    const { primary, toRealOnly } = concludeEarly(SHRUNK_PLAN, cells)
    expect(primary!.gain.mean).toBeCloseTo(-0.2, 12)
    expect(Object.keys(toRealOnly)).toEqual(['uniformSizes', 'shrunk'])
  })

  it('is none for a smaller mean, or a wide interval', () => {
    expect(concludeEarly(EARLY_PLAN, [cell(1, 2), cell(2, 2), cell(3, 2)]).primary!.success).toBe(false)
    expect(concludeEarly(EARLY_PLAN, [cell(1, 12), cell(2, -6), cell(3, 6)]).primary!.success).toBe(false)
    expect(concludeEarly(EARLY_PLAN, [cell(1, 3)]).primary).toBeNull()
  })

  it('has a power that rises with the seeds', () => {
    expect(successPower(0.05, 8, 0.1, 0.05)).toBeGreaterThan(successPower(0.05, 4, 0.1, 0.05))
    expect(successPower(0.05, 8, 0, 0.05)).toBeLessThan(0.03)
  })
})

it('the page has the arm with the lowest sensitivity first, and states that a run is not complete', async () => {
  const cells = [cell(1000, 3)]
  const out = temporaryFolder()
  const frozen = { plan: EARLY_PLAN, commit: 'c0ffee', seeds: [1000, 1002] }
  const page = readFileSync(
    await writeEarlyPage('Early?', out, frozen, cells, concludeEarly(EARLY_PLAN, cells)),
    'utf8',
  )
  expect(page).toContain('Not complete; so far: no verdict')
  expect(page.indexOf('common start</th>')).toBeLessThan(page.indexOf('uniform diameters</th>'))
  expect(page).not.toContain('Infinity')
})
