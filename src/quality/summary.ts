import type { OrganName } from '../volume/labels.js'
import type { Verdict } from './judge.js'

export interface JudgedTumor {
  readonly organ: OrganName
  readonly verdict: Verdict
}

interface OrganSummary {
  readonly kept: number
  readonly tried: number
  readonly shareSeen: number
}

export interface StepSummary {
  readonly shareSeen: number | null
  readonly kept: number
  readonly tried: number
  readonly noRoom: number
  readonly byOrgan: Readonly<Partial<Record<OrganName, OrganSummary>>>
}

/** The tumors of a step in numbers. The order in which ranks answered does not matter. */
export function summarise(judged: readonly JudgedTumor[], noRoom: number): StepSummary {
  const organs = [...new Set(judged.map((tumor) => tumor.organ))].sort()
  const byOrgan = Object.fromEntries(
    organs.map((organ) => [organ, summary(judged.filter((tumor) => tumor.organ === organ))]),
  )
  const all = summary(judged)
  return {
    shareSeen: judged.length > 0 ? all.shareSeen : null,
    kept: all.kept,
    tried: all.tried,
    noRoom,
    byOrgan,
  }
}

function summary(judged: readonly JudgedTumor[]): OrganSummary {
  const shares = judged.map((tumor) => tumor.verdict.measures.shareSeen).sort((a, b) => a - b)
  return {
    kept: judged.filter((tumor) => tumor.verdict.accepted).length,
    tried: judged.length,
    shareSeen: shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length),
  }
}
