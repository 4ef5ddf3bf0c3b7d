import { expect, test } from 'vitest'
import { judge } from '../../src/quality/judge.js'
import type { QualityPolicy } from '../../src/quality/policy.js'
import { type JudgedTumor, summarise } from '../../src/quality/summary.js'
import type { OrganName } from '../../src/volume/labels.js'

const published: QualityPolicy = {
  shareSeenThreshold: 0.7,
  subtractAlreadySeen: false,
  shareOver: 'tumor',
  rules: {},
  overrides: [],
}

function tumor(organ: OrganName, seenVoxels: number, size = 'small'): JudgedTumor {
  const measures = { syntheticVoxels: 1000, seenVoxels, alreadySeenVoxels: 0, contrast: 0 }
  return { organ, size, verdict: judge({ organ, size }, measures, published, true) }
}

test('a step is summarised as means and counts, in all and by organ', () => {
  const summary = summarise([tumor('liver', 900), tumor('kidney', 100), tumor('liver', 500)], 2)
  expect(summary).toMatchObject({ kept: 1, tried: 3, noRoom: 2 })
  expect(summary.shareSeen).toBeCloseTo(0.5, 8)
  expect(summary.byOrgan).toMatchObject({ kidney: { kept: 0, tried: 1 }, liver: { kept: 1, tried: 2 } })
  expect(summary.byOrgan.liver!.shareSeen).toBeCloseTo(0.7, 8)
  expect(summary.byOrgan.kidney!.shareSeen).toBeCloseTo(0.1, 8)
})

test('a step is summarised by organ and size, sorted', () => {
  const tumors = [tumor('liver', 900, 'tiny'), tumor('kidney', 100), tumor('liver', 900), tumor('liver', 500)]
  expect(summarise(tumors, 0).byKind.map(({ shareSeen: _, ...kind }) => kind)).toEqual([
    { organ: 'kidney', size: 'small', kept: 0, tried: 1 },
    { organ: 'liver', size: 'small', kept: 1, tried: 2 },
    { organ: 'liver', size: 'tiny', kept: 1, tried: 1 },
  ])
})

test('the order in which ranks answer gives bit-identical results', () => {
  const tumors = [3, 141, 592, 653, 589, 793].map((seen, n) =>
    tumor(n % 2 === 0 ? 'liver' : 'pancreas', seen),
  )
  expect(JSON.stringify(summarise([...tumors].reverse(), 0))).toBe(JSON.stringify(summarise(tumors, 0)))
})

test('a step without a tumor has no fraction, which differs from a fraction of 0', () => {
  expect(summarise([], 4)).toEqual({ shareSeen: null, kept: 0, tried: 0, noRoom: 4, byOrgan: {}, byKind: [] })
  expect(summarise([tumor('liver', 0)], 0).shareSeen).toBe(0)
})
