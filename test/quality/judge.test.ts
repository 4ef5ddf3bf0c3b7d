import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  judgeTogether,
  judge as judgeTumor,
  type TumorMeasures,
  type Verdict,
} from '../../src/quality/judge.js'
import type { QualityPolicy } from '../../src/quality/policy.js'

const published: QualityPolicy = {
  shareSeenThreshold: 0.7,
  subtractAlreadySeen: false,
  shareOver: 'tumor',
  rules: {},
  overrides: [],
}
const kind = { organ: 'liver', size: 'small' } as const
const judge = (measures: TumorMeasures, policy: QualityPolicy): Verdict =>
  judgeTumor(kind, measures, policy, true)
const keepUnseen = (measures: TumorMeasures): Verdict => judgeTumor(kind, measures, published, false)
const strict: QualityPolicy = { ...published, subtractAlreadySeen: true }

function measures(syntheticVoxels: number, seenVoxels: number, alreadySeenVoxels = 0): TumorMeasures {
  return { syntheticVoxels, seenVoxels, alreadySeenVoxels, contrast: -0.1 }
}

const anyMeasures = fc
  .tuple(fc.nat(1e6), fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([voxels, seen, already]) => measures(voxels, Math.floor(voxels * seen), Math.floor(voxels * already)))

describe('the published rule', () => {
  test('accepts a tumor of which the segmentor sees more than the threshold', () => {
    expect(judge(measures(1000, 701), published)).toMatchObject({ accepted: true, reason: 'seen' })
  })

  test('rejects a tumor the segmentor does not see', () => {
    expect(judge(measures(1000, 0), published)).toMatchObject({ accepted: false, reason: 'notSeen' })
  })

  test('rejects a share of exactly the threshold', () => {
    expect(judge(measures(10, 7), published).accepted).toBe(false)
    expect(judge(measures(2, 1), { ...published, shareSeenThreshold: 0.5 }).accepted).toBe(false)
    // adding 1e-6 to the voxels keeps a whole tumor below 1 too
    expect(judge(measures(5, 5), { ...published, shareSeenThreshold: 1 }).accepted).toBe(false)
  })

  test('adds 1e-6 to the synthetic voxels, as published', () => {
    expect(judge(measures(4, 3), published).measures.shareSeen).toBe(3 / 4.000001)
  })

  test('does not mind what was called tumor before', () => {
    expect(judge(measures(100, 100, 100), published).accepted).toBe(true)
  })

  test('says of a tumor without a voxel that it is empty', () => {
    const { accepted, reason, measures: measured } = judge(measures(0, 0), published)
    expect({ accepted, reason, share: measured.shareSeen }).toEqual({
      accepted: false,
      reason: 'empty',
      share: 0,
    })
  })
})

describe('with what was already seen taken off', () => {
  test('a segmentor that calls everything tumor passes nothing', () => {
    expect(judge(measures(100, 100, 100), strict)).toMatchObject({ accepted: false, reason: 'notSeen' })
    expect(judge(measures(100, 100, 31), strict).accepted).toBe(false)
  })

  test('a tumor that became visible by painting passes', () => {
    expect(judge(measures(100, 100, 10), strict)).toMatchObject({ accepted: true, reason: 'seen' })
  })

  test('the share that is told stays the share seen', () => {
    expect(judge(measures(100, 80, 40), strict).measures.shareSeen).toBeCloseTo(0.8, 6)
  })

  test('nothing is accepted that the published rule rejects', () => {
    fc.assert(
      fc.property(anyMeasures, (made) => !judge(made, strict).accepted || judge(made, published).accepted),
    )
  })
})

test('a verdict holds the measures it is made of, and is accepted exactly when it was seen', () => {
  fc.assert(
    fc.property(anyMeasures, fc.boolean(), (made, subtractAlreadySeen) => {
      const verdict = judge(made, { ...published, subtractAlreadySeen })
      expect(verdict.measures).toMatchObject(made)
      expect(verdict.accepted).toBe(verdict.reason === 'seen')
    }),
  )
})

test('a verdict has its measures in one order, however they came', () => {
  const measures = { syntheticVoxels: 10, seenVoxels: 9, alreadySeenVoxels: 0, contrast: 0 }
  const [one, other] = [
    { volumeMl: 1, contrastHu: -20 },
    { contrastHu: -20, volumeMl: 1 },
  ].map((more) => JSON.stringify(judgeTumor(kind, { ...measures, more }, published, true)))
  expect(one).toBe(other)
})

test('seeing more of a tumor never turns acceptance into rejection', () => {
  fc.assert(
    fc.property(anyMeasures, (made) => {
      const more = { ...made, seenVoxels: Math.min(made.syntheticVoxels, made.seenVoxels + 1) }
      expect(!judge(made, strict).accepted || judge(more, strict).accepted).toBe(true)
    }),
  )
})

test('a tumor that no baseline looked at is kept when it is there', () => {
  expect(keepUnseen(measures(12, 0))).toMatchObject({ accepted: true, reason: 'notJudged' })
  expect(keepUnseen(measures(0, 0))).toMatchObject({ accepted: false, reason: 'empty' })
})

describe('rules besides', () => {
  const ruled = (rules: QualityPolicy['rules']): QualityPolicy => ({ ...published, rules })
  const seen = (more: Record<string, number>): TumorMeasures => ({ ...measures(100, 90), more })

  test('reject a tumor outside a range, and name the rule', () => {
    const policy = ruled({ contrastHu: { min: -100, max: -5 }, volumeMl: { min: 0.1 } })
    expect(judge(seen({ contrastHu: -20, volumeMl: 2 }), policy)).toMatchObject({
      accepted: true,
      reason: 'seen',
    })
    expect(judge(seen({ contrastHu: -3, volumeMl: 2 }), policy)).toMatchObject({
      accepted: false,
      reason: 'contrastHu',
    })
    expect(judge(seen({ contrastHu: -20, volumeMl: 0.05 }), policy).reason).toBe('volumeMl')
  })

  test('include both ends of a range', () => {
    expect(judge(seen({ insideOrgan: 0.5 }), ruled({ insideOrgan: { min: 0.5 } })).accepted).toBe(true)
    expect(judge(seen({ insideOrgan: 0.5 }), ruled({ insideOrgan: { max: 0.5 } })).accepted).toBe(true)
  })

  test('reject what could not be measured, but for what is held against real tumors that are not there', () => {
    expect(judge(seen({}), ruled({ edgeSharpnessToReal: { max: 2 } })).accepted).toBe(true)
    expect(judge(seen({ edgeSharpnessToReal: 3 }), ruled({ edgeSharpnessToReal: { max: 2 } })).reason).toBe(
      'edgeSharpnessToReal',
    )
    expect(judge(seen({}), ruled({ edgeSharpnessHuPerMm: { max: 50 } })).reason).toBe('edgeSharpnessHuPerMm')
    expect(judge(seen({}), ruled({ distanceToRealMm: { min: 5 } })).accepted).toBe(true)
  })

  test('hold without a baseline, too', () => {
    const policy = ruled({ volumeMl: { max: 1 } })
    expect(judgeTumor(kind, seen({ volumeMl: 2 }), policy, false).reason).toBe('volumeMl')
    expect(judgeTumor(kind, seen({ volumeMl: 1 }), policy, false).reason).toBe('notJudged')
  })

  test('know what the baseline called tumor before painting', () => {
    const policy = ruled({ alreadySeenShare: { max: 0.2 } })
    expect(judge(measures(100, 90, 30), policy).reason).toBe('alreadySeenShare')
    expect(judge(measures(100, 90, 10), policy).measures.alreadySeenShare).toBeCloseTo(0.1, 6)
  })

  test('are laid over by organ and size, the last one that fits first', () => {
    const policy: QualityPolicy = {
      ...ruled({ volumeMl: { min: 1 } }),
      overrides: [
        { organ: 'liver', shareSeenThreshold: 0.95 },
        { size: 'tiny', shareSeenThreshold: 0.5, rules: { volumeMl: {} } },
      ],
    }
    const tumor = seen({ volumeMl: 0.5 })
    expect(judgeTumor({ organ: 'liver', size: 'small' }, tumor, policy, true).reason).toBe('notSeen')
    expect(judgeTumor({ organ: 'kidney', size: 'small' }, tumor, policy, true).reason).toBe('volumeMl')
    expect(judgeTumor({ organ: 'liver', size: 'tiny' }, tumor, policy, true).reason).toBe('seen')
  })
})

describe('one share for all tumors of a case', () => {
  test('keeps or rejects them together, and a rule rejects one of them', () => {
    const policy: QualityPolicy = { ...published, rules: { volumeMl: { min: 1 } } }
    const tumors = [
      { kind, measures: { ...measures(900, 800), more: { volumeMl: 3 } } },
      { kind, measures: { ...measures(100, 0), more: { volumeMl: 0.3 } } },
    ]
    expect(judgeTogether(tumors, policy, true).map(({ reason }) => reason)).toEqual(['seen', 'volumeMl'])
    expect(
      judgeTogether(tumors, { ...policy, shareSeenThreshold: 0.8 }, true).map(({ reason }) => reason),
    ).toEqual(['notSeen', 'notSeen'])
  })
})
