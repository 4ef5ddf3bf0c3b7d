import { counted } from '../../plain-text.js'
import type { SynthesisLine } from '../../quality/ledger.js'

/** Reasons in the order of the work: a case is reported by the one that comes latest among its lines. */
const REFUSALS: readonly (readonly [reasons: readonly string[], words: string])[] = [
  [['noTumor'], 'no labelled tumor in the selected organs'],
  [['tumorTooSmall'], 'only tumors below the smallest diameter of a copy: no tumor is enlarged'],
  [['organTooSmall', 'noRoom'], 'no place for a copy in the healthy part of the organ'],
]

/** Return one line for each reason for which cases received no copy of a real tumor (method `shrunk`). */
export function refusedSources(lines: readonly SynthesisLine[]): string[] {
  const byCase = new Map<string, SynthesisLine[]>()
  for (const line of lines)
    if (line.method === 'shrunk') byCase.set(line.case, [...(byCase.get(line.case) ?? []), line])
  const refused = [...byCase].filter(([, own]) => own.every(({ plan }) => plan === null))
  const stepOf = (own: readonly SynthesisLine[]): number =>
    own.reduce(
      (step, { reason }) =>
        Math.max(
          step,
          REFUSALS.findIndex(([reasons]) => reasons.includes(reason)),
        ),
      0,
    )
  return REFUSALS.flatMap(([, words], step) => {
    const ids = refused.filter(([, own]) => stepOf(own) === step).map(([id]) => id)
    return ids.length === 0
      ? []
      : [`${counted(ids.length, 'case', ['has', 'have'])} ${words} (first ${ids[0]})`]
  })
}
