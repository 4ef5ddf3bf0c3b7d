import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Arm } from '../../../scripts/experiments/plan.js'
import type { PolicyCell } from '../../../scripts/experiments/policy-cell.js'
import { writePolicyPage } from '../../../scripts/experiments/policy-page.js'
import { POLICY_PLAN, type PolicyPlan } from '../../../scripts/experiments/policy-plan.js'
import { concludePolicy } from '../../../scripts/experiments/policy-verdict.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const plan: PolicyPlan = { ...POLICY_PLAN, labelled: [2, 4] }
const frozen = { plan, commit: 'c0ffee', seeds: [1001, 1003, 1005] }

/** A cell in which every arm has Dice 0.5, except for the calibrated one. */
function cell(seed: number, labelled: number, calibrated: number): PolicyCell {
  const of = (dice: number, falsePositives: number) => {
    const test = { threshold: 0, dice, sensitivity: 0.6, falsePositives, lesionFree: 0.25 }
    return { test, unfiltered: test, cases: [] }
  }
  const arms = Object.fromEntries(
    (['start', ...plan.arms] as const).map((arm) => [
      arm,
      arm === 'calibrated' ? of(calibrated, 1) : of(0.5, arm === 'published' ? 3 : 2),
    ]),
  )
  const tumors = { calibrated: { accepted: 3, attempts: 4, crops: 6 } } as Partial<
    Record<Arm, { accepted: number; attempts: number; crops: number }>
  >
  return { seed, labelled, arms, tumors, cpuSeconds: { start: 10 } }
}

/** Cells of three seeds; the Dice of calibrated differs by `losses` of each seed from the other arms. */
const cells = (...losses: readonly number[]): PolicyCell[] =>
  losses.flatMap((loss, at) => plan.labelled.map((count) => cell(frozen.seeds[at]!, count, 0.5 + loss)))

describe('the verdict on the calibrated policy', () => {
  it('is "not worse" if the lower bound of the loss is above the margin', () => {
    const { primary, secondary } = concludePolicy(plan, cells(-0.004, -0.005, -0.006))
    expect(primary!.estimate.mean).toBeCloseTo(-0.005, 12)
    // t quantile of 2 degrees of freedom: 4.303, standard error 0.001 / sqrt(3)
    expect(primary!.estimate.ci[0]).toBeCloseTo(-0.005 - (4.302653 * 0.001) / Math.sqrt(3), 7)
    expect(primary!.notWorse).toBe(true)
    expect(secondary!.mean).toBeCloseTo(-2, 12)
  })

  it('is not "not worse" for a larger loss, and for the same loss with a wide interval', () => {
    expect(concludePolicy(plan, cells(-0.03, -0.031, -0.032)).primary!.notWorse).toBe(false)
    expect(concludePolicy(plan, cells(-0.05, 0.04, -0.005)).primary!.notWorse).toBe(false)
  })

  it('counts seeds with all cells only, and is open before two of them', () => {
    const [first, second, third] = cells(-0.004, -0.005, -0.006)
    expect(concludePolicy(plan, [first!, second!, third!])).toMatchObject({ seeds: [1001], primary: null })
    expect(concludePolicy(plan, [])).toMatchObject({ seeds: [], arms: [], primary: null, secondary: null })
  })
})

describe('the page of the experiment', () => {
  const written = async (...losses: readonly number[]): Promise<string> => {
    const done = cells(...losses)
    const file = await writePolicyPage(temporaryFolder(), frozen, done, concludePolicy(plan, done))
    const { verdict } = JSON.parse(readFileSync(join(file, '../results.json'), 'utf8'))
    expect(verdict.seeds).toHaveLength(losses.length)
    return readFileSync(file, 'utf8')
  }

  it('states the verdict first, all seeds and the commit of the plan', async () => {
    const page = await written(-0.03, -0.031, -0.032)
    expect(page.match(/<h2>.*?<\/h2>/g)![0]).toBe('<h2>Not shown to be not worse</h2>')
    for (const text of ['c0ffee', '1001', '1003', '1005']) expect(page).toContain(text)
  })

  it('states that cells are missing', async () => {
    expect(await written(-0.004, -0.005)).toContain('Not complete; so far: not worse')
  })

  it('has a page before the first seed', async () => {
    expect(await written()).toContain('Not complete; so far: no verdict')
  })
})
