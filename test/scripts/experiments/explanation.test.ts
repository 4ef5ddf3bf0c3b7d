import { describe, expect, it } from 'vitest'
import type { Checks } from '../../../scripts/experiments/checks.js'
import { explain } from '../../../scripts/experiments/explanation.js'
import type { Comparison } from '../../../scripts/experiments/judgement.js'

const estimate = (mean: number, low: number, high: number) => ({ mean, ci: [low, high] as const, n: 84 })
const arm = (name: 'plainHosts' | 'handCrafted' | 'trained') => ({
  arm: name,
  figures: {},
  diceToRealOnly: null,
  falsePositivesToRealOnly: null,
})
const comparison: Comparison = {
  labelled: null,
  seeds: [1, 2, 3],
  arms: [arm('plainHosts'), arm('handCrafted'), arm('trained')],
  trainedToHandCrafted: null,
  steps: {
    hosts: estimate(0.04, 0.01, 0.07),
    handCraftedTumors: estimate(-0.03, -0.05, -0.01),
    generatedTumors: estimate(0.01, -0.02, 0.04),
    generatorTraining: null,
  },
  qualityControl: { handCrafted: null, trained: null },
  gainBySeed: [0.02, 0.08, 0.05],
}

describe('the explanation of a verdict', () => {
  it('states for each step whether it is better, worse, or not distinguished', () => {
    const [hosts, crafted, generated] = explain(comparison, null)
    expect(hosts).toMatch(/^Healthy scans alone.*\+4\.00 points.*better\.$/)
    expect(crafted).toMatch(/^Hand-crafted.*worse\.$/)
    expect(generated).toMatch(/no difference that these cases and seeds can show\.$/)
  })

  it('states the effect of quality control, also if it is harmful', () => {
    const trained = { dice: estimate(-0.09, -0.13, -0.05), falsePositives: estimate(-0.54, -1.1, 0.1) }
    const text = explain({ ...comparison, qualityControl: { handCrafted: null, trained } }, null).join('\n')
    expect(text).toContain(
      'by trained generator, compared with all accepted: −9.00 points of Dice (−13.00 points to −5.00 points), worse; false positives a healthy case −0.54',
    )
  })

  it('leaves open whether there are more false positives where the interval holds zero', () => {
    const trained = { ...arm('trained'), falsePositivesToRealOnly: estimate(0.25, -2.12, 2.94) }
    const text = explain({ ...comparison, arms: [trained] }, null).join('\n')
    expect(text).toContain('less real only: +0.25 (−2.12 to +2.94), not decided')
  })

  it('states how many seeds would decide, from the scatter of these', () => {
    // variance 0.0009; (1.96 / 0.025)^2 of it
    expect(explain(comparison, null).at(-1)).toContain('6 seeds would give')
    expect(explain({ ...comparison, seeds: [1], gainBySeed: [0.02] }, null).at(-1)).toContain(
      'more seeds would',
    )
  })

  it('shows the appearance of accepted tumors next to that of real ones', () => {
    const look = (contrastHu: number) => ({ contrastHu, textureHu: 20, volumeMl: 1, tumors: 10 })
    const judged = { cell: 'a', arm: 'trained', kept: 30, rejected: 70, measures: {} }
    const checks: Checks = {
      cell: { seed: 1, labelled: 4 },
      shareSeen: [],
      discriminatorLoss: { untrainedGenerator: 0.3, trainedGenerator: 0.5 },
      looks: { real: look(-90), handCrafted: null, trained: look(-60) },
      judged: [judged],
    }
    const text = explain(comparison, checks).join('\n')
    expect(text).toContain('kept 30 % of the tumors tried by trained generator (30 of 100)')
    expect(text).toContain('contrast -60 HU where real ones have -90')
  })
})
