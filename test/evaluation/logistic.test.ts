import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { fitLogistic } from '../../src/evaluation/logistic.js'

interface Reference {
  readonly rows: readonly (readonly number[])[]
  readonly labels: readonly boolean[]
  readonly weights: readonly number[]
  readonly intercept: number
}

/** logistic_reference.py says how it was made. */
const references: readonly Reference[] = JSON.parse(
  readFileSync(new URL('logistic_reference.json', import.meta.url), 'utf8'),
)

it.each(references.map((one, at) => [at, one] as const))(
  'weights equal those of scikit-learn, set %i',
  (_, { rows, labels, weights, intercept }) => {
    const fitted = fitLogistic(rows, labels)
    for (const [at, weight] of weights.entries())
      expect(Math.abs(fitted.weights[at]! - weight)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(weight)))
    expect(Math.abs(fitted.intercept - intercept)).toBeLessThanOrEqual(
      1e-9 * Math.max(1, Math.abs(intercept)),
    )
  },
)

it('weights are the same for examples of another order', () => {
  const { rows, labels } = references[1]!
  const turned = fitLogistic([...rows].reverse(), [...labels].reverse())
  const fitted = fitLogistic(rows, labels)
  for (const [at, weight] of fitted.weights.entries()) expect(turned.weights[at]).toBeCloseTo(weight, 9)
})
