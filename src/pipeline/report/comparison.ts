import type { Comparison } from '../../evaluation/compare.js'
import type { CaseMeasures } from '../../evaluation/measures.js'
import { caseDice } from '../../evaluation/worst.js'
import { type CaseDifference, type ComparisonReport, differenceOf } from '../../report/comparison-section.js'
import type { Forest } from '../../report/forest.js'

/** Name of each label id, by id as text. */
export type NamesById = Readonly<Record<string, string>>

/** Return the name of a label id. */
export function labelName(id: number | string, names: NamesById | undefined): string {
  return names?.[String(id)] ?? `label ${id}`
}

/** Return the differences of two sets of masks for a page. Without the measures of a set, no case is listed. */
export function comparisonReport(
  comparison: Comparison,
  first: readonly CaseMeasures[],
  second: readonly CaseMeasures[],
  labels: NamesById | undefined,
  names: readonly [first: string, second: string] = [comparison.first, comparison.second],
): ComparisonReport {
  const ids = first[0]?.labels.map(({ label }) => label) ?? []
  return {
    first: names[0],
    second: names[1],
    forests: forests(comparison, labels, names),
    classNames: ids.map((id) => labelName(id, labels)),
    cases: caseDifferences(first, second, ids),
  }
}

function caseDifferences(
  first: readonly CaseMeasures[],
  second: readonly CaseMeasures[],
  ids: readonly number[],
): CaseDifference[] {
  const others = new Map(second.map((one) => [one.caseId, one]))
  const rows = first.flatMap((one): CaseDifference[] => {
    const other = others.get(one.caseId)
    if (!other) return []
    const classes = ids.map((id) => differenceOf({ first: classDice(one, id), second: classDice(other, id) }))
    return [{ name: one.caseId, first: caseDice(one), second: caseDice(other), classes }]
  })
  const rank = (row: CaseDifference): number => differenceOf(row) ?? Number.POSITIVE_INFINITY
  // cases without a difference are last; `sort` keeps the order of equal ones
  return rows.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)))
}

function classDice({ labels }: CaseMeasures, id: number): number | null {
  return labels.find(({ label }) => label === id)?.dice ?? null
}

const UNITS = {
  share: 'Shares, from 0 to 1',
  ml: 'Volumes, ml per case',
  lesions: 'Lesions per case',
} as const

function forests(
  { figures }: Comparison,
  labels: NamesById | undefined,
  names: readonly [string, string],
): Forest[] {
  return (['share', 'ml', 'lesions'] as const).map((unit) => ({
    title: UNITS[unit],
    names,
    rows: figures
      .filter((figure) => figure.unit === unit)
      .map(({ difference, wilcoxon, name, ...figure }) => ({
        ...figure,
        name: name.replace(/^Dice of (\d+)$/, (_, id: string) => `Dice of ${labelName(id, labels)}`),
        difference: difference.mean,
        low: difference.ci?.[0] ?? null,
        high: difference.ci?.[1] ?? null,
        n: difference.n,
        wilcoxonP: wilcoxon?.p ?? null,
      })),
  }))
}
