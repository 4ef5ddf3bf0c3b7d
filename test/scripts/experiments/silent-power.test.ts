import { expect, it } from 'vitest'
import type { SilentCell, SilentResult } from '../../../scripts/experiments/silent-cell.js'
import { SILENT_PLAN } from '../../../scripts/experiments/silent-plan.js'
import { silentPower } from '../../../scripts/experiments/silent-power.js'

/** A cell whose healthy test cases are lesion-free or not, with and without hard negatives. */
function cell(seed: number, hard: readonly boolean[], easy: readonly boolean[]): SilentCell {
  const result = (lesionFreeCases: readonly boolean[]) => ({ lesionFreeCases }) as SilentResult
  const arms = { hardNegatives: result(hard), easyNegatives: result(easy) }
  return { seed, labelled: 4, arms, mined: { listed: 1, lesionFree: 0 }, cpuSeconds: {} }
}

it('separates the variance between seeds and cases, and grows with the gain and the seeds', () => {
  const [yes, no] = [true, false]
  // differences 1, 0, 1, 0 and 0, 0, 1, -1
  const cells = [
    cell(1, [yes, yes, yes, no], [no, yes, no, no]),
    cell(2, [yes, no, yes, no], [yes, no, no, yes]),
  ]
  const { components, rows } = silentPower(SILENT_PLAN, cells)
  expect(components.case).toBeCloseTo((1 / 3 + 2 / 3) / 2, 12)
  // means 0.5 and 0: variance 0.125 between seeds, of which the cases explain all
  expect(components.seed).toBeCloseTo(0, 12)
  const powerAt = (gain: number, seeds: number) =>
    rows.find((row) => row.gain === gain && row.seeds === seeds && row.cases === 26)!.power
  expect(powerAt(0.2, 15)).toBeGreaterThan(powerAt(0.05, 15))
  expect(powerAt(0.2, 15)).toBeGreaterThan(powerAt(0.2, 4))
})
