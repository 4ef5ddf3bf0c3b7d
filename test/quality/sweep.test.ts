import { describe, expect, test } from 'vitest'
import type { LedgerLine, SynthesisLine } from '../../src/quality/ledger.js'
import type { QualityPolicy } from '../../src/quality/policy.js'
import { judgeAgain, readSweptLedger, type SweptLedger, sweepThresholds } from '../../src/quality/sweep.js'

const published: QualityPolicy = {
  shareSeenThreshold: 0.7,
  subtractAlreadySeen: false,
  shareOver: 'tumor',
  rules: {},
  overrides: [],
}

type Change = Partial<SynthesisLine> & { readonly seen?: number; readonly volumeMl?: number }

function line({ seen = 0, volumeMl = 1, ...change }: Change): SynthesisLine {
  return {
    case: 'a',
    host: null,
    variant: 0,
    tumor: 0,
    attempt: 0,
    round: 0,
    organ: 'liver',
    size: 'small',
    seed: 0,
    k: [0],
    plan: null,
    checkpoints: { generator: null, baseline: null },
    verdict: 'rejected',
    reason: 'notSeen',
    measures: {
      syntheticVoxels: 100,
      seenVoxels: seen,
      alreadySeenVoxels: 0,
      shareSeen: seen / 100,
      volumeMl,
    },
    time: '2026-01-01T00:00:00.000Z',
    ...change,
  }
}

async function swept(...lines: readonly (SynthesisLine | LedgerLine)[]): Promise<SweptLedger> {
  return readSweptLedger(
    (async function* () {
      yield* lines
    })(),
  )
}

describe('another threshold', () => {
  test('accepts the attempts above it, and counts a tumor once for all its attempts', async () => {
    const ledger = await swept(
      line({ seen: 30 }),
      line({ seen: 60, attempt: 1 }),
      line({ seen: 90, attempt: 2, verdict: 'accepted', reason: 'seen' }),
      line({ seen: 40, tumor: 1, organ: 'kidney' }),
      line({ tumor: 2, verdict: 'noRoom', reason: 'noRoom', measures: {} }),
    )
    const rows = sweepThresholds(ledger, published, [0.2, 0.5, 0.7, 0.95])
    expect(rows.map(({ tries, tumors }) => [tries.kept, tries.of, tumors.kept, tumors.of])).toEqual([
      [4, 4, 2, 2],
      [2, 4, 1, 2],
      [1, 4, 1, 2],
      [0, 4, 0, 2],
    ])
    expect(rows[1]!.byKind).toEqual([
      { organ: 'kidney', size: 'small', kept: 0, of: 1 },
      { organ: 'liver', size: 'small', kept: 2, of: 3 },
    ])
  })

  test('of the policy itself gives the verdicts of the ledger', async () => {
    const lines = [10, 69, 71, 100].map((seen, tumor) =>
      line({ seen, tumor, ...(seen > 70 ? { verdict: 'accepted', reason: 'seen' } : {}) }),
    )
    const { tries, reasons } = judgeAgain(await swept(...lines), published)
    expect(tries.kept).toBe(lines.filter(({ verdict }) => verdict === 'accepted').length)
    expect(reasons).toEqual({ notSeen: 2, seen: 2 })
  })

  test('replaces the thresholds of the overrides, not their rules', async () => {
    const overrides = [{ organ: 'liver', shareSeenThreshold: 0, rules: { volumeMl: { min: 2 } } } as const]
    const ledger = await swept(line({ seen: 60 }), line({ seen: 60, tumor: 1, volumeMl: 3 }))
    expect(sweepThresholds(ledger, { ...published, overrides }, [0.5])[0]!.reasons).toEqual({
      volumeMl: 1,
      seen: 1,
    })
    expect(sweepThresholds(ledger, { ...published, overrides }, [0.7])[0]!.tries.kept).toBe(0)
  })

  test('works on the ledger of a training as well', async () => {
    const { seenVoxels: _, ...rest } = line({ seen: 60 }).measures
    const measures = {
      ...rest,
      syntheticVoxels: 100,
      seenVoxels: 60,
      alreadySeenVoxels: 0,
      shareSeen: 0.6,
      contrast: 0,
    }
    const trained: LedgerLine = {
      step: 1,
      item: 2,
      crop: 0,
      case: 'a',
      organ: 'liver',
      size: 'tiny',
      draw: 0,
      verdict: 'rejected',
      reason: 'notSeen',
      measures,
    }
    const rows = sweepThresholds(await swept(trained), published, [0.5, 0.7])
    expect(rows.map(({ tries }) => tries.kept)).toEqual([1, 0])
  })
})

test('one fraction per case is counted over the attempts that were judged together', async () => {
  const ledger = await swept(
    line({ seen: 100, round: 0 }),
    line({ seen: 20, round: 0, tumor: 1 }),
    line({ seen: 100, round: 1, attempt: 1 }),
    line({ seen: 60, round: 1, tumor: 1, attempt: 1 }),
  )
  expect(judgeAgain(ledger, { ...published, shareOver: 'case' }).tries).toEqual({ kept: 2, of: 4 })
  expect(judgeAgain(ledger, published).tries).toEqual({ kept: 2, of: 4 })
  expect(sweepThresholds(ledger, { ...published, shareOver: 'case' }, [0.55])[0]!.tries.kept).toBe(4)
})

describe('a rule', () => {
  test('that was not part of the policy works on the recorded measures', async () => {
    const ledger = await swept(line({ seen: 90, volumeMl: 0.2 }), line({ seen: 90, tumor: 1 }))
    const row = judgeAgain(ledger, { ...published, rules: { volumeMl: { min: 0.5 } } })
    expect(row.reasons).toEqual({ volumeMl: 1, seen: 1 })
  })

  test('about a measure that was not taken is refused by name', async () => {
    const ledger = await swept(line({ seen: 90 }))
    const asked = { ...published, rules: { componentShare: { min: 0.5 } } }
    expect(() => judgeAgain(ledger, asked)).toThrow(
      'ledger: missing measures (expected componentShare, found in no line)',
    )
    expect(() => judgeAgain(ledger, { ...published, subtractAlreadySeen: true })).toThrow(
      'expected alreadySeenVoxels',
    )
  })
})
