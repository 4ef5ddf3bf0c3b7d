import { beforeAll, describe, expect, test } from 'vitest'
import { aggregate } from '../../src/evaluation/aggregate.js'
import { parseCaseMeasures } from '../../src/evaluation/measures.js'
import { PROFILES, type ProfileName } from '../../src/evaluation/profiles.js'
import type { Summary } from '../../src/evaluation/summary.js'
import { runPython } from '../helpers/python.js'

interface Monai {
  readonly meanDice: number
  readonly tumorDice: number
  readonly tumorNsd?: number
  readonly auc: number
  readonly froc: readonly (readonly [rate: number, sensitivity: number])[]
  readonly lesionSensitivity: number
  readonly falsePositives: number
}
type Both = Readonly<Record<ProfileName, { cases: Readonly<Record<string, unknown>>; monai: Monai }>>

describe('on the same constructed cases', () => {
  let both: Both
  beforeAll(() => {
    both = JSON.parse(runPython('test/evaluation/monai_profiles.py', JSON.stringify(PROFILES)))
  }, 120_000)

  function summed(name: ProfileName): [Summary, Monai] {
    const cases = Object.entries(both[name].cases).map(([id, one]) => parseCaseMeasures(id, id, one))
    return [aggregate(cases, PROFILES[name], { seed: 0 }), both[name].monai]
  }

  test('voco equals the mean of MONAI’s DiceMetric over the classes and then the cases', () => {
    const [summary, monai] = summed('voco')
    expect(summary.grid).toBe('prepared')
    expect(summary.meanDice!.mean).toBeCloseTo(monai.meanDice, 6)
  })

  test('freetumor equals the mean tumor Dice over the cases with a tumor', () => {
    const [summary, monai] = summed('freetumor')
    expect(summary.tumorDice!.mean).toBeCloseTo(monai.tumorDice, 6)
    expect(summary.tumorDice!.n).toBe(8)
  })

  test('difftumor equals Dice and SurfaceDiceMetric at 2 mm with a false positive as 0', () => {
    const [summary, monai] = summed('difftumor')
    expect(summary.grid).toBe('original')
    expect(summary.tumorDice!.mean).toBeCloseTo(monai.tumorDice, 6)
    expect(summary.tumorNsd!.mean).toBeCloseTo(monai.tumorNsd!, 6)
    // one of the two healthy cases is called, the other is left out
    expect(summary.tumorDice!.n).toBe(9)
  })

  test('lesion equals the Dice, the area under the curve, the FROC curve and the detections of MONAI', () => {
    const [{ tumorDice, lesions }, monai] = summed('lesion')
    expect(tumorDice!.mean).toBeCloseTo(monai.tumorDice, 6)
    expect(lesions!.scoredBy).toBe('probability')
    expect(lesions!.patientAuc!.mean).toBeCloseTo(monai.auc, 12)
    expect(lesions!.all.sensitivity!.mean).toBeCloseTo(monai.lesionSensitivity, 12)
    expect(lesions!.falsePositiveCount!.mean).toBeCloseTo(monai.falsePositives, 12)
    const curve = lesions!.froc!.points.map((one) => [one.falsePositivesPerCase, one.sensitivity])
    expect(curve.length).toBeGreaterThan(10)
    expect(curve.flat()).toEqual(monai.froc.flat().map((value) => expect.closeTo(value, 12)))
  })
})
