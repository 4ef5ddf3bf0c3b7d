import type { CaseMeasures, OverlapMeasures } from './measures.js'

/** Cases in which something is wrong or at stake, by falling need to be looked at: lowest tumor Dice, most volume in error. */
export function worstFirst(cases: readonly CaseMeasures[]): CaseMeasures[] {
  const judged = cases.flatMap((one) => {
    const dice = caseDice(one)
    return dice === null ? [] : [{ one, dice, wrongMl: errorMl(one) }]
  })
  judged.sort((a, b) => a.dice - b.dice || b.wrongMl - a.wrongMl || (a.one.caseId < b.one.caseId ? -1 : 1))
  return judged.map(({ one }) => one)
}

/** Tumor Dice, 0 for tumor that is only called; where no tumor is measured the mean over the labels. Null: nothing there. */
export function caseDice({ tumor, labels }: CaseMeasures): number | null {
  if (tumor !== null) return tumor.dice
  const scores = labels.flatMap(({ dice }) => dice ?? [])
  return scores.length === 0 ? null : scores.reduce((sum, dice) => sum + dice, 0) / scores.length
}

/** Volume of the voxels on which mask and label differ. */
export function errorMl({ tumor, labels, spacingMm }: CaseMeasures): number {
  const wrong = ({ falsePositive, falseNegative }: OverlapMeasures): number => falsePositive + falseNegative
  const voxels = tumor === null ? labels.reduce((sum, one) => sum + wrong(one), 0) : wrong(tumor)
  return (voxels * spacingMm.reduce((product, mm) => product * mm, 1)) / 1000
}
