import { openStream } from 'freetumor'
import { describe, expect, it } from 'vitest'
import { powerOf, varianceComponents } from '../../../scripts/experiments/policy-power.js'

describe('the variance components', () => {
  it('are those that the differences were drawn from', () => {
    const stream = openStream(['components'])
    const sd = { seed: 0.03, training: 0.02, case: 0.1, residual: 0.05 }
    const differences = Array.from({ length: 200 }, () => {
      const seed = sd.seed * stream.normal()
      const cases = Array.from({ length: 20 }, () => sd.case * stream.normal())
      return Array.from({ length: 3 }, () => {
        const training = sd.training * stream.normal()
        return cases.map((one) => seed + training + one + sd.residual * stream.normal())
      })
    })
    const found = varianceComponents(differences)
    expect(Math.sqrt(found.residual)).toBeCloseTo(sd.residual, 2)
    expect(Math.sqrt(found.case)).toBeCloseTo(sd.case, 2)
    expect(Math.sqrt(found.training)).toBeCloseTo(sd.training, 2)
    expect(Math.abs(Math.sqrt(found.seed) - sd.seed)).toBeLessThan(0.008)
  })

  it('are 0 where nothing varies', () => {
    const table = [
      [0.1, 0.1],
      [0.1, 0.1],
    ]
    const { seed, training, case: ofCase, residual } = varianceComponents([table, table])
    for (const value of [seed, training, ofCase, residual]) expect(value).toBeCloseTo(0, 12)
  })
})

describe('the power', () => {
  const components = { seed: 0.0004, training: 0.0003, case: 0.01, residual: 0.002 }
  const power = (seeds: number, cases: number): number =>
    powerOf(components, { seeds, cases, trainings: 3, margin: 0.02 }).power

  it('rises with the number of seeds and of cases', () => {
    expect(power(10, 24)).toBeGreaterThan(power(4, 24))
    expect(power(10, 100)).toBeGreaterThan(power(10, 24))
  })

  it('is one half of 5 % where the true loss is the margin itself', () => {
    expect(powerOf(components, { seeds: 10, cases: 24, trainings: 3, margin: 0 }).power).toBeCloseTo(0.025, 1)
  })
})
