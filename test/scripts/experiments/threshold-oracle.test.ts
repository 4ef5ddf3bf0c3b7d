import { describe, expect, it } from 'vitest'
import { type OracleCase, thresholdOracle } from '../../../scripts/experiments/threshold-oracle.js'
import { makePhantom } from '../../../src/phantom/make.js'

const LIVER = [{ label: 1, tumorLabel: 2 }]

describe('the threshold oracle', () => {
  it('is perfect where the organ is even and tumors are darker', () => {
    const image = new Int16Array(12 ** 3).fill(100)
    const label = new Uint8Array(12 ** 3).fill(1)
    for (let x = 3; x < 9; x++)
      for (let y = 3; y < 9; y++) for (let z = 3; z < 9; z++) label[(x * 12 + y) * 12 + z] = 2
    for (const [v, id] of label.entries()) if (id === 2) image[v] = -100
    // its smoothing blurs the edge by a voxel
    expect(thresholdOracle([{ image, label, shape: [12, 12, 12] }], LIVER).tumorDice).toBeGreaterThan(0.9)
  })

  it('finds standard phantoms easy, and hard ones much harder', () => {
    const cases = (difficulty: 'standard' | 'hard'): OracleCase[] =>
      [0, 1, 2, 3, 4].map((index) => {
        const settings = { region: 'abdomen', index, seed: 5, sizeVoxels: 48, tumors: true } as const
        const { image, label } = makePhantom({ ...settings, difficulty, tumorOrgans: ['liver'] })
        return { image: image.data, label: label.data, shape: image.shape }
      })
    const standard = thresholdOracle(cases('standard'), LIVER).tumorDice
    const hard = thresholdOracle(cases('hard'), LIVER).tumorDice
    expect(standard).toBeGreaterThan(0.5)
    expect(hard).toBeLessThan(0.35)
  })
})
