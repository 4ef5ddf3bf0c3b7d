import type { OrganName } from '../volume/labels.js'
import type { Verdict } from './judge.js'
import type { JudgedKind } from './policy.js'

export interface JudgedTumor extends JudgedKind {
  readonly verdict: Verdict
}

interface KindSummary {
  readonly kept: number
  readonly tried: number
  readonly shareSeen: number
}

export interface StepSummary {
  readonly shareSeen: number | null
  readonly kept: number
  readonly tried: number
  readonly noRoom: number
  readonly byOrgan: Readonly<Partial<Record<OrganName, KindSummary>>>
  readonly byKind: readonly (JudgedKind & KindSummary)[]
}

/** Summarise the tumors of a step. The order in which ranks answer has no influence. */
export function summarise(judged: readonly JudgedTumor[], noRoom: number): StepSummary {
  const all = summary(judged)
  return {
    shareSeen: judged.length > 0 ? all.shareSeen : null,
    kept: all.kept,
    tried: all.tried,
    noRoom,
    byOrgan: Object.fromEntries(grouped(judged, 'organ').map((group) => [group[0]!.organ, summary(group)])),
    byKind: grouped(judged, 'organ').flatMap((group) =>
      grouped(group, 'size').map((kind) => {
        const { organ, size } = kind[0]!
        return { organ, size, ...summary(kind) }
      }),
    ),
  }
}

/** Return groups that are never empty, sorted by name. */
function grouped(judged: readonly JudgedTumor[], key: keyof JudgedKind): JudgedTumor[][] {
  const names = [...new Set(judged.map((tumor) => tumor[key]))].sort()
  return names.map((name) => judged.filter((tumor) => tumor[key] === name))
}

function summary(judged: readonly JudgedTumor[]): KindSummary {
  const shares = judged.map((tumor) => tumor.verdict.measures.shareSeen).sort((a, b) => a - b)
  return {
    kept: judged.filter((tumor) => tumor.verdict.accepted).length,
    tried: judged.length,
    shareSeen: shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length),
  }
}
