import type { CaseMeasures, LesionMeasures, OverlapMeasures } from '../../src/evaluation/measures.js'

/** Measures from counts: Dice as the runtime gives it, null when neither side has the label. */
export function overlap(
  truePositive: number,
  falsePositive: number,
  falseNegative: number,
  ...nsd: readonly (number | null)[]
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
  more: Partial<LesionMeasures> = {},
): LesionMeasures {
  const volumeMl = (Math.PI / 6000) * diameterMm ** 3
  const voxels = Math.max(1, Math.round(1000 * volumeMl))
  return { kind, label: 2, voxels, volumeMl, diameterMm, centreMm: [0, 0, 0], score: null, matched, ...more }
}

/** A case whose tumor (label 2 alone) is `tumor`, of a patient of its own; `more` is laid over it. */
export function measuredCase(
  caseId: string,
  tumor: OverlapMeasures,
  more: Partial<CaseMeasures> = {},
): CaseMeasures {
  return {
    caseId,
    patient: caseId,
    grid: 'original',
    spacingMm: [1, 1, 1],
    removedVoxels: 0,
    ignoredVoxels: 0,
    labels: [{ label: 2, ...tumor }],
    tumor,
    lesions: [],
    lesionOverlaps: [],
    unmeasuredIds: { predicted: [], true: [] },
    ...more,
  }
}
