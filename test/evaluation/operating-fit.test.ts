import { describe, expect, it } from 'vitest'
import { type FittedCase, fitOperatingPoint, fittedCase } from '../../src/evaluation/operating-fit.js'
import { operatingPointSchema, ruleValue } from '../../src/evaluation/operating-point.js'
import { openStream } from '../../src/simulation/random.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'

const FEATURES = {
  label: 2,
  meanProbability: 0.5,
  volumeMl: 1,
  elongation: 1.5,
  compactness: 0.9,
  organContact: 1,
} as const

function predicted(probability: number | null, touches: readonly number[] = [], more: object = {}) {
  const meanProbability = probability === null ? null : probability / 2
  return { features: { ...FEATURES, probability, meanProbability, ...more }, touches }
}

function healthy(caseId: string, ...probabilities: readonly number[]): FittedCase {
  return { caseId, healthy: true, numTrue: 0, predicted: probabilities.map((one) => predicted(one)) }
}

function sick(caseId: string, ...probabilities: readonly (number | null)[]): FittedCase {
  return {
    caseId,
    healthy: false,
    numTrue: probabilities.length,
    predicted: probabilities.flatMap((one, at) => (one === null ? [] : [predicted(one, [at])])),
  }
}

/** Ten healthy scans with a false positive of 0.1, 0.2, ... 1, and ten lesions of 0.15, 0.25, ... 1.05 (capped), two missed. */
const ten = [
  ...Array.from({ length: 10 }, (_, at) => healthy(`h${at}`, (at + 1) / 10, 0.01)),
  sick('s', ...Array.from({ length: 9 }, (_, at) => (at + 1.5) / 10), null),
]

describe('an operating point', () => {
  it('has the lowest threshold that reaches the wanted rate', () => {
    const { rule, after, before } = fitOperatingPoint(ten, { rate: 0.5 })
    // five scans lie below 0.55, the middle of 0.5 and 0.55 is the first threshold above the fifth
    expect(rule).toEqual({
      terms: [{ feature: 'probability', label: null, weight: 1 }],
      intercept: 0,
      threshold: 0.525,
    })
    expect(after.inSample.lesionFree).toMatchObject({ successes: 5, of: 10 })
    expect(after.inSample.sensitivity).toMatchObject({ successes: 5, of: 10 })
    expect(after.inSample.falsePositivesPerScan).toBe(0.5)
    expect(before.sensitivity).toMatchObject({ successes: 9, of: 10 })
    expect(before.lesionFree.successes).toBe(0)
    expect(before.falsePositivesPerScan).toBe(2)
  })

  it('has the highest threshold within the accepted loss of lesions', () => {
    const { rule, after } = fitOperatingPoint(ten, { sensitivityLoss: 0.2 })
    expect(after.inSample.sensitivity.successes).toBe(7)
    expect(rule.threshold).toBeCloseTo(0.325, 12)
    expect(after.inSample.lesionFree.successes).toBe(3)
  })

  it('keeps all lesions for a rate that is reached already, and can silence every scan', () => {
    const none = fitOperatingPoint(ten, { rate: 0 })
    expect(none.rule.threshold).toBeNull()
    expect(none.after.inSample).toEqual(none.before)
    const all = fitOperatingPoint(ten, { rate: 1 })
    expect(all.after.inSample.lesionFree.rate).toBe(1)
    expect(all.after.inSample.falsePositivesPerScan).toBe(0)
  })

  it('counts a lesion as detected while any prediction on it is kept', () => {
    const split: FittedCase = {
      caseId: 's',
      healthy: false,
      numTrue: 1,
      predicted: [predicted(0.2, [0]), predicted(0.8, [0])],
    }
    const { after } = fitOperatingPoint([healthy('h', 0.5), split], { rate: 1 })
    expect(after.inSample.sensitivity.rate).toBe(1)
  })

  it('is the same for cases in another order', () => {
    const cases = world(3, 40)
    expect(fitOperatingPoint([...cases].reverse(), { rate: 0.8 })).toEqual(
      fitOperatingPoint(cases, { rate: 0.8 }),
    )
  })

  it('has a content that its own schema accepts', () => {
    const point = { ...fitOperatingPoint(world(3, 40), { rate: 0.9 }), prediction: null }
    expect(operatingPointSchema.parse(JSON.parse(JSON.stringify(point)))).toEqual(point)
  })
})

describe('the curve of an operating point', () => {
  it('rises in the lesion-free rate and falls in sensitivity, from all lesions to none', () => {
    const { curve } = fitOperatingPoint(world(5, 60), { rate: 0.9 })
    expect(curve[0]!.threshold).toBeNull()
    expect(curve.at(-1)).toMatchObject({ lesionFree: { rate: 1 }, sensitivity: { rate: 0 } })
    for (const [at, point] of curve.slice(1).entries()) {
      const before = curve[at]!
      expect(point.threshold!).toBeGreaterThan(before.threshold ?? Number.NEGATIVE_INFINITY)
      expect(point.lesionFree.rate).toBeGreaterThanOrEqual(before.lesionFree.rate)
      expect(point.sensitivity.rate).toBeLessThanOrEqual(before.sensitivity.rate)
      expect(point.falsePositivesPerScan).toBeLessThanOrEqual(before.falsePositivesPerScan)
    }
  })

  it('gives a higher wanted rate at least the same loss, by the same rule', () => {
    const cases = world(5, 60)
    const points = [0.2, 0.5, 0.8, 0.95].map((rate) => fitOperatingPoint(cases, { rate }))
    for (const chosen of new Set(points.map((point) => point.chosen))) {
      const same = points.filter((point) => point.chosen === chosen)
      const losses = same.map(({ after }) => -after.inSample.sensitivity.rate)
      expect(losses).toEqual([...losses].sort((a, b) => a - b))
    }
  })
})

describe('the choice between rules', () => {
  it('takes one feature where a logistic rule is not better', () => {
    const { chosen, candidates } = fitOperatingPoint(world(7, 80), { rate: 0.8 })
    expect(chosen).toBe('probability')
    expect(candidates.map(({ name }) => name)).toEqual([
      'probability',
      'meanProbability',
      'volumeMl',
      'logistic',
    ])
  })

  it('takes the logistic rule where features decide only together', () => {
    // a true lesion has a high sum of two features that say nothing by themselves
    const stream = openStream([1, 'together'])
    const one = (touches: readonly number[]) => {
      const x = stream.uniform()
      const sum = touches.length > 0 ? 1.1 : 0.9
      return predicted(0.2 + 0.5 * x, touches, {
        meanProbability: 0.3,
        compactness: 0.2 + 0.5 * (sum - x + 0.05 * stream.uniform()),
        volumeMl: 1,
      })
    }
    const cases = [
      ...Array.from({ length: 60 }, (_, at) => ({
        caseId: `h${at}`,
        healthy: true,
        numTrue: 0,
        predicted: [one([])],
      })),
      ...Array.from({ length: 60 }, (_, at) => ({
        caseId: `s${at}`,
        healthy: false,
        numTrue: 1,
        predicted: [one([0])],
      })),
    ]
    const { chosen, rule, after } = fitOperatingPoint(cases, { rate: 0.9 })
    expect(chosen).toBe('logistic')
    expect(after.crossValidated!.sensitivity.rate).toBeGreaterThan(0.9)
    const { features } = cases[60]!.predicted[0]!
    expect(ruleValue(rule, features)).toBeGreaterThan(ruleValue(rule, cases[0]!.predicted[0]!.features))
  })

  it('uses volume and shape alone without probabilities', () => {
    const cases = world(3, 40).map((one) => ({
      ...one,
      predicted: one.predicted.map(({ touches }) =>
        predicted(null, touches, { volumeMl: 1 + touches.length }),
      ),
    }))
    const { candidates, rule } = fitOperatingPoint(cases, { rate: 0.9 })
    expect(candidates.map(({ name }) => name)).toEqual(['volumeMl', 'logistic'])
    expect(rule.terms.map(({ feature }) => feature)).toEqual(['volumeMl'])
  })

  it('states no cross-validated figure with too few cases', () => {
    const { after, candidates } = fitOperatingPoint([healthy('h', 0.5), sick('s', 0.7)], { rate: 1 })
    expect(after.crossValidated).toBeNull()
    expect(candidates.every(({ worseThanBest }) => worseThanBest === null)).toBe(true)
  })
})

it('a measured case lists the true lesions that a prediction touches', () => {
  const features = { meanProbability: 0.4, elongation: 1, compactness: 1, organContact: 0 }
  const one = measuredCase('a', overlap(5, 5, 5), {
    lesions: [
      lesion('true', 10, true),
      lesion('true', 6, true),
      lesion('predicted', 9, true, { score: 0.9, features }),
      lesion('predicted', 4, false, { score: 0.3, features, label: 4 }),
    ],
    lesionOverlaps: [
      [0, 0, 30],
      [1, 0, 10],
    ],
  })
  expect(fittedCase(one)).toMatchObject({
    caseId: 'a',
    healthy: false,
    numTrue: 2,
    predicted: [
      { features: { label: 2, probability: 0.9, meanProbability: 0.4 }, touches: [0, 1] },
      { features: { label: 4, probability: 0.3 }, touches: [] },
    ],
  })
})

/** Scans with random lesions: true ones have higher probabilities. */
function world(seed: number, count: number): FittedCase[] {
  const stream = openStream([seed, 'world'])
  return Array.from({ length: count }, (_, at): FittedCase => {
    const isHealthy = at % 2 === 0
    const falses = Array.from({ length: stream.integer(0, 3) }, () => 0.7 * stream.uniform())
    const trues = isHealthy
      ? []
      : Array.from({ length: stream.integer(1, 3) }, () => 0.3 + 0.7 * stream.uniform())
    return {
      caseId: `case ${at}`,
      healthy: isHealthy,
      numTrue: trues.length,
      predicted: [...trues.map((one, n) => predicted(one, [n])), ...falses.map((one) => predicted(one))],
    }
  })
}
