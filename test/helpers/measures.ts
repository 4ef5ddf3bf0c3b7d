import type { CaseMeasures, LesionMeasures, OverlapMeasures } from '../../src/evaluation/summary.js'

/** Measures from counts: Dice as the runtime gives it, null when neither side has the label. */
export function overlap(
  truePositive: number,
  falsePositive: number,
  falseNegative: number,
  nsd: number | null = null,
): OverlapMeasures {
  const total = 2 * truePositive + falsePositive + falseNegative
  return {
    truePositive,
    falsePositive,
    falseNegative,
    dice: total === 0 ? null : (2 * truePositive) / total,
    nsd,
  }
}

export function lesion(
  kind: LesionMeasures['kind'],
  diameterMm: number,
  matched: boolean,
  volumeMl = (Math.PI / 6000) * diameterMm ** 3,
): LesionMeasures {
  return { kind, label: 2, volumeMl, diameterMm, centreMm: [0, 0, 0], matched }
}

/** A case whose tumor (label 2 alone) is `tumor`; `more` is laid over it. */
export function measuredCase(
  caseId: string,
  tumor: OverlapMeasures,
  more: Partial<CaseMeasures> = {},
): CaseMeasures {
  return {
    caseId,
    grid: 'original',
    spacingMm: [1, 1, 1],
    labels: [{ label: 2, ...tumor }],
    tumor,
    lesions: [],
    unmeasuredIds: [],
    ...more,
  }
}
