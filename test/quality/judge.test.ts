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
  test('accepts a tumor with a detected fraction above the threshold', () => {
    expect(judge(measures(1000, 701), published)).toMatchObject({ accepted: true, reason: 'seen' })
  })

  test('rejects a tumor that the segmentor does not detect', () => {
    expect(judge(measures(1000, 0), published)).toMatchObject({ accepted: false, reason: 'notSeen' })
  })

  test('rejects a detected fraction equal to the threshold', () => {
    expect(judge(measures(10, 7), published).accepted).toBe(false)
    expect(judge(measures(2, 1), { ...published, shareSeenThreshold: 0.5 }).accepted).toBe(false)
    // adding 1e-6 to the voxels keeps a whole tumor below 1 too
    expect(judge(measures(5, 5), { ...published, shareSeenThreshold: 1 }).accepted).toBe(false)
  })

  test('adds 1e-6 to the synthetic voxels, as published', () => {
    expect(judge(measures(4, 3), published).measures.shareSeen).toBe(3 / 4.000001)
  })

  test('ignores what was labelled tumor before', () => {
    expect(judge(measures(100, 100, 100), published).accepted).toBe(true)
  })

  test('gives the reason empty to a tumor without a voxel', () => {
    const { accepted, reason, measures: measured } = judge(measures(0, 0), published)
    expect({ accepted, reason, share: measured.shareSeen }).toEqual({
      accepted: false,
      reason: 'empty',
      share: 0,
    })
  })
})

describe('with subtractAlreadySeen', () => {
  test('a segmentor that labels everything tumor accepts nothing', () => {
    expect(judge(measures(100, 100, 100), strict)).toMatchObject({ accepted: false, reason: 'notSeen' })
    expect(judge(measures(100, 100, 31), strict).accepted).toBe(false)
  })

  test('a tumor that became visible by painting is accepted', () => {
    expect(judge(measures(100, 100, 10), strict)).toMatchObject({ accepted: true, reason: 'seen' })
  })

  test('the reported fraction stays the detected fraction', () => {
    expect(judge(measures(100, 80, 40), strict).measures.shareSeen).toBeCloseTo(0.8, 6)
  })

  test('nothing is accepted that the published rule rejects', () => {
    fc.assert(
      fc.property(anyMeasures, (made) => !judge(made, strict).accepted || judge(made, published).accepted),
    )
  })
})

test('a verdict holds the measures it is based on, and accepts exactly the detected tumors', () => {
  fc.assert(
    fc.property(anyMeasures, fc.boolean(), (made, subtractAlreadySeen) => {
      const verdict = judge(made, { ...published, subtractAlreadySeen })
      expect(verdict.measures).toMatchObject(made)
      expect(verdict.accepted).toBe(verdict.reason === 'seen')
    }),
  )
})

test('a verdict has its measures in a fixed order', () => {
  const measures = { syntheticVoxels: 10, seenVoxels: 9, alreadySeenVoxels: 0, contrast: 0 }
  const [one, other] = [
    { volumeMl: 1, contrastHu: -20 },
    { contrastHu: -20, volumeMl: 1 },
  ].map((more) => JSON.stringify(judgeTumor(kind, { ...measures, more }, published, true)))
  expect(one).toBe(other)
})

test('detecting more of a tumor never turns acceptance into rejection', () => {
  fc.assert(
    fc.property(anyMeasures, (made) => {
      const more = { ...made, seenVoxels: Math.min(made.syntheticVoxels, made.seenVoxels + 1) }
      expect(!judge(made, strict).accepted || judge(more, strict).accepted).toBe(true)
    }),
  )
})

test('without a baseline, a tumor with voxels is accepted', () => {
  expect(keepUnseen(measures(12, 0))).toMatchObject({ accepted: true, reason: 'notJudged' })
  expect(keepUnseen(measures(0, 0))).toMatchObject({ accepted: false, reason: 'empty' })
})

describe('additional rules', () => {
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

  test('reject a tumor whose measure is missing, except for comparisons with real tumors that do not exist', () => {
    expect(judge(seen({}), ruled({ edgeSharpnessToReal: { max: 2 } })).accepted).toBe(true)
    expect(judge(seen({ edgeSharpnessToReal: 3 }), ruled({ edgeSharpnessToReal: { max: 2 } })).reason).toBe(
      'edgeSharpnessToReal',
    )
    expect(judge(seen({}), ruled({ edgeSharpnessHuPerMm: { max: 50 } })).reason).toBe('edgeSharpnessHuPerMm')
    expect(judge(seen({}), ruled({ distanceToRealMm: { min: 5 } })).accepted).toBe(true)
  })

  test('also apply without a baseline', () => {
    const policy = ruled({ volumeMl: { max: 1 } })
    expect(judgeTumor(kind, seen({ volumeMl: 2 }), policy, false).reason).toBe('volumeMl')
    expect(judgeTumor(kind, seen({ volumeMl: 1 }), policy, false).reason).toBe('notJudged')
  })

  test('use what the baseline labelled tumor before painting', () => {
    const policy = ruled({ alreadySeenShare: { max: 0.2 } })
    expect(judge(measures(100, 90, 30), policy).reason).toBe('alreadySeenShare')
    expect(judge(measures(100, 90, 10), policy).measures.alreadySeenShare).toBeCloseTo(0.1, 6)
  })

  test('are overridden by organ and size, and the last match wins', () => {
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

describe('one fraction for all tumors of a case', () => {
  test('accepts or rejects them together, and a rule rejects one of them', () => {
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
