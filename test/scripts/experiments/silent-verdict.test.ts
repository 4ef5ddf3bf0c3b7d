import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { SilentCell, SilentFigures } from '../../../scripts/experiments/silent-cell.js'
import { writeSilentPage } from '../../../scripts/experiments/silent-page.js'
import { SILENT_PLAN, type SilentPlan } from '../../../scripts/experiments/silent-plan.js'
import { concludeSilent } from '../../../scripts/experiments/silent-verdict.js'
import { temporaryFolder } from '../../helpers/temporary.js'

const plan: SilentPlan = { ...SILENT_PLAN, losses: [0, 0.05], numSeeds: 3 }
const seeds = [1000, 1002, 1004]

/** A cell in which hard negatives change the lesion-free rate at the primary loss by `gain`. */
function cell(seed: number, gain: number, without = 0.5): SilentCell {
  const figures = (lesionFree: number): SilentFigures => ({ lesionFree, sensitivity: 0.6, falsePositives: 1 })
  const result = (lesionFree: number) => ({
    rule: 'probability',
    before: figures(0.1),
    atLoss: [
      { loss: 0, ...figures(0.2) },
      { loss: 0.05, ...figures(lesionFree) },
    ],
    lesionFreeCases: [],
  })
  const arms = {
    easyNegatives: result(without),
    hardNegatives: result(without + gain),
  }
  return { seed, labelled: 4, arms, mined: { listed: 9, lesionFree: 1 }, cpuSeconds: { easyNegatives: 10 } }
}

describe('the verdict on hard negatives', () => {
  it('is "better" if the lower end of the difference lies above 0', () => {
    const { primary } = concludeSilent(plan, [cell(1000, 0.1), cell(1002, 0.11), cell(1004, 0.12)])
    expect(primary!.lesionFree.mean).toBeCloseTo(0.11, 12)
    // t quantile of 2 degrees of freedom: 4.303, standard error 0.01 / sqrt(3)
    expect(primary!.lesionFree.ci[0]).toBeCloseTo(0.11 - (4.302653 * 0.01) / Math.sqrt(3), 6)
    expect(primary!.better).toBe(true)
    expect(primary!.sensitivity.mean).toBe(0)
  })

  it('is not "better" for a loss, or for a gain with a wide interval', () => {
    expect(
      concludeSilent(
        plan,
        seeds.map((seed) => cell(seed, -0.1)),
      ).primary!.better,
    ).toBe(false)
    const wide = [cell(1000, 0.3), cell(1002, -0.1), cell(1004, 0.1)]
    expect(concludeSilent(plan, wide).primary!.better).toBe(false)
  })

  it('is open before two seeds', () => {
    expect(concludeSilent(plan, []).primary).toBeNull()
    const one = concludeSilent(plan, [cell(1000, 0.1)])
    expect(one.primary).toBeNull()
    const before = one.rows.find(({ arm, loss }) => arm === 'easyNegatives' && loss === null)!
    expect(before.figures.lesionFree.mean).toBe(0.1)
  })
})

it('the page has the primary loss first, the arm with the fewest lesion-free scans first, and no interval of one seed', async () => {
  const cells = [cell(1000, -0.2)]
  const out = temporaryFolder()
  const frozen = { plan, commit: 'c0ffee', seeds }
  const page = readFileSync(await writeSilentPage(out, frozen, cells, concludeSilent(plan, cells)), 'utf8')
  expect(page).toContain('Not complete; so far: no verdict')
  const [first] = page.split('<h2>').slice(2)
  expect(first).toMatch(/^Accepted loss of \+?5/)
  expect(first!.indexOf('hard negatives')).toBeLessThan(first!.indexOf('random negative crops'))
  expect(page).not.toContain('Infinity')
  expect(JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')).cellsDone).toBe(1)
})

it('the page states that rates of 0 with all arms answer nothing', async () => {
  const page = async (gain: number) => {
    const cells = seeds.map((seed) => cell(seed, gain, 0))
    const frozen = { plan, commit: 'c0ffee', seeds }
    const file = await writeSilentPage(temporaryFolder(), frozen, cells, concludeSilent(plan, cells))
    return readFileSync(file, 'utf8')
  }
  expect(await page(0)).toContain('too weak for the question')
  expect(await page(0.1)).not.toContain('too weak for the question')
})
