import { describe, expect, it } from 'vitest'
import type { CellResult } from '../../../scripts/experiments/cell.js'
import { compareArms, conclude } from '../../../scripts/experiments/judgement.js'
import { DEFAULT_PLAN } from '../../../scripts/experiments/plan.js'
import type { CaseScore } from '../../../scripts/experiments/results.js'

const plan = {
  ...DEFAULT_PLAN,
  seeds: [1, 2],
  labelled: [2, 4],
  arms: ['realOnly', 'handCrafted', 'trained'] as const,
}

function scores(dice: number, falsePositives: number): CaseScore[] {
  const sick = Array.from({ length: 10 }, (_, at) => ({
    case: `sick-${at}`,
    dice: dice + 0.01 * (at % 3),
    lesions: [{ diameterMm: 12, detected: true }],
    falsePositives: 0,
    falsePositiveMl: 0,
  }))
  const healthy = {
    case: 'well',
    dice: null,
    lesions: [],
    falsePositives,
    falsePositiveMl: falsePositives / 2,
  }
  return [...sick, healthy]
}

/** Every cell alike: Dice of the three arms, and false positives of the trained one. */
function cells(real: number, crafted: number, trained: number, falsePositives = 1): CellResult[] {
  return plan.seeds.flatMap((seed) =>
    plan.labelled.map((labelled) => ({
      seed,
      labelled,
      facts: { tumorVolumesMl: [1] },
      cpuSeconds: {},
      scores: {
        start: scores(real, 1),
        realOnly: scores(real, 1),
        handCrafted: scores(crafted, 1),
        trained: scores(trained, falsePositives),
      },
    })),
  )
}

const verdict = (made: CellResult[]) => conclude(compareArms(made, plan).at(-1)!)

describe('the verdict of the experiment', () => {
  it('is a gain when all four conditions hold', () => {
    expect(verdict(cells(0.3, 0.35, 0.38)).gain).toBe(true)
  })

  it.each([
    ['is too small', cells(0.3, 0.31, 0.33), 0],
    ['costs false positives', cells(0.3, 0.35, 0.38, 3), 2],
    ['is less than that of hand-crafted tumors', cells(0.3, 0.45, 0.38), 3],
  ])('is no gain when it %s', (_, made, failing) => {
    const { gain, conditions } = verdict(made)
    expect(gain).toBe(false)
    expect(conditions.map(({ met }) => met)).toEqual([0, 1, 2, 3].map((at) => at !== failing))
  })

  it('states the effect of quality control against keeping all tumors, if both were trained', () => {
    const made = cells(0.3, 0.35, 0.38).map((cell) => ({
      ...cell,
      scores: { ...cell.scores, trainedUnjudged: scores(0.44, 3) },
    }))
    const all = compareArms(made, { ...plan, arms: [...plan.arms, 'trainedUnjudged'] }).at(-1)!
    expect(all.qualityControl.trained!.dice.mean).toBeCloseTo(-0.06, 10)
    expect(all.qualityControl.trained!.falsePositives.mean).toBeCloseTo(-2, 10)
    expect(all.qualityControl.handCrafted).toBeNull()
  })

  it('covers the complete seeds, and has no verdict without one', () => {
    const cut = cells(0.3, 0.35, 0.38).slice(0, 3)
    const [two, four, both] = compareArms(cut, plan)
    expect([two!.seeds, four!.seeds, both!.seeds]).toEqual([[1, 2], [1], [1]])
    expect(compareArms([], plan)).toEqual([])
  })
})
