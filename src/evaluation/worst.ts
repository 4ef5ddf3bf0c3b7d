import type { CaseMeasures, OverlapMeasures } from './measures.js'

/**
 * Sort the cases that have a figure by falling need of inspection: lowest tumor Dice, then most volume in
 * error.
 */
export function worstFirst(cases: readonly CaseMeasures[]): CaseMeasures[] {
  const judged = cases.flatMap((one) => {
    const dice = caseDice(one)
    return dice === null ? [] : [{ one, dice, wrongMl: errorMl(one) }]
  })
  judged.sort((a, b) => a.dice - b.dice || b.wrongMl - a.wrongMl || (a.one.caseId < b.one.caseId ? -1 : 1))
  return judged.map(({ one }) => one)
}

/**
 * Return the tumor Dice, 0 for false positives only; without a tumor label, the mean over the labels. Null:
 * nothing to score.
 */
export function caseDice({ tumor, labels }: CaseMeasures): number | null {
  if (tumor !== null) return tumor.dice
  const scores = labels.flatMap(({ dice }) => dice ?? [])
  return scores.length === 0 ? null : scores.reduce((sum, dice) => sum + dice, 0) / scores.length
}

/** Return the volume in ml of the voxels on which mask and label differ. */
export function errorMl({ tumor, labels, spacingMm }: CaseMeasures): number {
  const wrong = ({ falsePositive, falseNegative }: OverlapMeasures): number => falsePositive + falseNegative
  const voxels = tumor === null ? labels.reduce((sum, one) => sum + wrong(one), 0) : wrong(tumor)
  return (voxels * spacingMm.reduce((product, mm) => product * mm, 1)) / 1000
}
