import { expect, test } from 'vitest'
import { decidedBy, policyIn } from '../../../src/pipeline/report/tumor-pictures.js'
import type { QualityPolicy } from '../../../src/quality/policy.js'

const policy: QualityPolicy = {
  shareSeenThreshold: 0.5,
  subtractAlreadySeen: false,
  shareOver: 'tumor',
  rules: { contrastHu: { max: -10 }, volumeMl: { min: 0.1, max: 3 } },
  overrides: [{ organ: 'kidney', size: 'tiny', shareSeenThreshold: 0.8 }],
}
const line = {
  organ: 'liver',
  size: 'tiny',
  measures: {
    syntheticVoxels: 100,
    seenVoxels: 60,
    alreadySeenVoxels: 40,
    contrast: -0.1,
    shareSeen: 0.6,
    contrastHu: 5,
  },
} as const

test.each([
  ['the threshold', 'seen', {}, {}, 'detected fraction 60.0 %, threshold 50 %'],
  [
    'the threshold of its organ and size',
    'notSeen',
    { organ: 'kidney' },
    {},
    'detected fraction 60.0 %, threshold 80 %',
  ],
  [
    'the fraction before painting',
    'notSeen',
    {},
    { subtractAlreadySeen: true },
    'detected fraction 20.0 % more than before painting, threshold 50 %',
  ],
  [
    'the whole case',
    'seen',
    {},
    { shareOver: 'case' },
    'detected fraction 60.0 %, threshold 50 % over all tumors of the case',
  ],
  ['the range of a rule', 'contrastHu', {}, {}, 'contrastHu 5.00, expected at most -10'],
  [
    'a measure that was not taken',
    'volumeMl',
    {},
    {},
    'volumeMl not measured, expected at least 0.1 and at most 3',
  ],
  ['no voxel', 'empty', {}, {}, 'no voxel lies in the organ'],
  ['no baseline', 'notJudged', {}, {}, 'no baseline'],
] as const)('a decision names %s', (_, reason, ofLine, ofPolicy, expected) => {
  expect(decidedBy({ ...line, reason, ...ofLine }, { ...policy, ...ofPolicy })).toBe(expected)
})

test('without a known policy, only the measure is named', () => {
  expect(decidedBy({ ...line, reason: 'notSeen' }, null)).toBe('detected fraction 60.0 %')
  expect(decidedBy({ ...line, reason: 'contrastHu' }, null)).toBe('contrastHu 5.00')
})

test('a policy of another form is no policy', () => {
  expect(policyIn({ quality: policy })).toEqual(policy)
  for (const value of [null, 7, {}, { quality: 7 }, { quality: { ...policy, overrides: 7 } }])
    expect(policyIn(value)).toBeNull()
  expect(policyIn({ quality: { ...policy, overrides: [null] } })).toBeNull()
})
