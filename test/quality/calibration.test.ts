import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type CalibratedThreshold,
  calibratedThresholds,
  type HeldOutTumor,
  type SizesByVolume,
} from '../../src/quality/calibration.js'
import { judge, keptByChance, type TumorMeasures } from '../../src/quality/judge.js'
import type { QualityPolicy } from '../../src/quality/policy.js'

/** Sizes with one boundary: 100 voxels of 0.001 ml. */
const SIZES: SizesByVolume = {
  names: ['small', 'large'],
  sizeOf: (voxels) => (voxels < 100 ? 'small' : 'large'),
  voxelMl: 0.001,
}
const real = (shareSeen: number, volumeMl = 0.01, organ: HeldOutTumor['organ'] = 'liver'): HeldOutTumor => ({
  case: 'a',
  organ,
  volumeMl,
  shareSeen,
})
const thresholds = (shares: readonly number[], rejectedShare = 0.1): CalibratedThreshold[] =>
  calibratedThresholds(
    { realTumors: shares.map((share) => real(share)), healthy: null },
    rejectedShare,
    SIZES,
  )

describe('the calibrated threshold', () => {
  it('is the k-th smallest detected fraction of the real tumors, k = floor(share * (n + 1))', () => {
    const shares = Array.from({ length: 19 }, (_, at) => (19 - at) / 20)
    expect(thresholds(shares)[0]).toEqual({
      organ: 'liver',
      size: 'small',
      threshold: 0.1,
      tumors: 19,
      of: 'size',
    })
    expect(thresholds(shares, 0.5)[0]!.threshold).toBe(0.5)
  })

  it('rejects nothing with too few real tumors, or with a share of 0', () => {
    expect(thresholds([0.9, 0.8])[0]).toMatchObject({ threshold: null, of: 'none', tumors: 2 })
    expect(thresholds(Array(50).fill(0.9), 0)[0]!.threshold).toBeNull()
  })

  it('counts 9 tumors as enough for a share of 0.1', () => {
    expect(thresholds(Array(9).fill(0.4))[0]!.threshold).toBe(0.4)
    expect(thresholds(Array(8).fill(0.4))[0]!.threshold).toBeNull()
  })

  it('takes the tumors of the organ in all sizes where a size has too few, and never those of another organ', () => {
    const realTumors = [
      ...Array.from({ length: 9 }, () => real(0.3, 0.01)),
      real(0.1, 0.5),
      ...Array.from({ length: 9 }, () => real(0.8, 0.5, 'kidney')),
    ]
    expect(calibratedThresholds({ realTumors, healthy: null }, 0.1, SIZES)).toEqual([
      { organ: 'kidney', size: 'small', threshold: 0.8, tumors: 9, of: 'organ' },
      { organ: 'kidney', size: 'large', threshold: 0.8, tumors: 9, of: 'size' },
      { organ: 'liver', size: 'small', threshold: 0.3, tumors: 9, of: 'size' },
      { organ: 'liver', size: 'large', threshold: 0.1, tumors: 10, of: 'organ' },
    ])
  })

  it('subtracts what the segmentor labels tumor in healthy scans', () => {
    const healthy = {
      scans: 2,
      lesionFree: { successes: 1, of: 2, rate: 0.5, ci: [0.1, 0.9] as [number, number] },
      falsePositivesPerScan: 1,
      falsePositiveMlPerScan: 0.1,
      seenShare: { liver: 0.05 },
    }
    const realTumors = Array.from({ length: 9 }, () => real(0.4))
    expect(calibratedThresholds({ realTumors, healthy }, 0.1, SIZES)[0]!.threshold).toBeCloseTo(0.35, 12)
  })

  it('rejects at most the stated share of real tumors that did not set it', () => {
    const shares = fc.array(
      fc.integer({ min: 0, max: 10 }).map((tenth) => tenth / 10),
      { minLength: 2, maxLength: 40 },
    )
    fc.assert(
      fc.property(shares, fc.constantFrom(0.05, 0.1, 0.25, 0.5), (all, rejectedShare) => {
        const rejected = all.filter((share, at) => {
          const { threshold } = thresholds(all.toSpliced(at, 1), rejectedShare)[0]!
          return threshold !== null && share < threshold
        })
        expect(rejected.length).toBeLessThanOrEqual(rejectedShare * all.length + 1e-9)
      }),
    )
  })
})

describe('the calibrated policy', () => {
  const base: QualityPolicy = {
    shareSeenThreshold: 0.7,
    subtractAlreadySeen: false,
    shareOver: 'tumor',
    rules: {},
    overrides: [],
  }
  const withThreshold = (threshold: number | null): QualityPolicy => ({
    ...base,
    policy: 'calibrated',
    calibrated: {
      thresholds: [{ organ: 'liver', size: 'small', threshold, tumors: 9, of: 'size' }],
      sizeOf: SIZES.sizeOf,
    },
  })
  const measures = (syntheticVoxels: number, seenVoxels: number, alreadySeenVoxels = 0): TumorMeasures => ({
    syntheticVoxels,
    seenVoxels,
    alreadySeenVoxels,
    contrast: 0,
  })
  const accepts = (
    policy: QualityPolicy,
    made: TumorMeasures,
    organ: 'liver' | 'kidney' = 'liver',
  ): boolean => judge({ organ, size: 'large' }, made, policy, true).accepted

  it('accepts a tumor that reaches the threshold of its organ and measured volume', () => {
    expect(accepts(withThreshold(0.3), measures(50, 16))).toBe(true)
    expect(accepts(withThreshold(0.3), measures(50, 14))).toBe(false)
    // no real tumor of this size or organ: nothing is known against it
    expect(accepts(withThreshold(0.3), measures(500, 0))).toBe(true)
    expect(accepts(withThreshold(0.3), measures(50, 0), 'kidney')).toBe(true)
  })

  it('accepts an undetected tumor where the baseline misses real ones too', () => {
    expect(accepts(withThreshold(0), measures(50, 0))).toBe(true)
    expect(accepts(withThreshold(null), measures(50, 0))).toBe(true)
    expect(accepts(base, measures(50, 0))).toBe(false)
  })

  it('subtracts what was detected before painting, and rejects an empty tumor', () => {
    expect(accepts(withThreshold(0.3), measures(50, 40, 30))).toBe(false)
    expect(judge({ organ: 'liver', size: 'small' }, measures(0, 0), withThreshold(null), true).reason).toBe(
      'empty',
    )
  })
})

describe('keeping by chance', () => {
  const seen = judge(
    { organ: 'liver', size: 'small' },
    { syntheticVoxels: 10, seenVoxels: 10, alreadySeenVoxels: 0, contrast: 0 },
    { shareSeenThreshold: 0.7, subtractAlreadySeen: false, shareOver: 'tumor', rules: {}, overrides: [] },
    true,
  )
  const policy = (keepProbability: number): QualityPolicy => ({
    shareSeenThreshold: 0.7,
    subtractAlreadySeen: false,
    shareOver: 'tumor',
    rules: {},
    overrides: [],
    keepProbability,
  })

  it('drops an accepted tumor with a number at or above the probability', () => {
    expect(keptByChance(seen, policy(0.6), () => 0.59)).toBe(seen)
    expect(keptByChance(seen, policy(0.6), () => 0.6)).toMatchObject({ accepted: false, reason: 'notKept' })
    expect(keptByChance(seen, policy(0), () => 0)).toMatchObject({ accepted: false })
  })

  it('draws no number where it decides nothing', () => {
    const drawn = (): number => {
      throw new Error('a number was drawn')
    }
    expect(keptByChance(seen, policy(1), drawn)).toBe(seen)
    const rejected = { ...seen, accepted: false, reason: 'notSeen' as const }
    expect(keptByChance(rejected, policy(0.5), drawn)).toBe(rejected)
  })
})
