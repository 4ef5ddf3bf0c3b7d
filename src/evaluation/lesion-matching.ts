import type { CaseMeasures, LesionMeasures } from './measures.js'

/** A true or predicted lesion with its partners on the other side. */
export interface MatchedLesion {
  readonly lesion: LesionMeasures
  /** Matched by any shared voxel. */
  readonly matched: boolean
  /** For each requested IoU: whether the lesion belongs to a pair. */
  readonly matchedAtIou: readonly boolean[]
  /** Highest IoU with one lesion of the other side; 0 without overlap. */
  readonly bestIou: number
  /** Dice with all lesions together that touch it. */
  readonly dice: number
}

interface Touch {
  readonly trueAt: number
  readonly predictedAt: number
  readonly voxels: number
  readonly iou: number
}

/**
 * Match the lesions of a case; true ones come first, in their order. At an IoU, pairs are formed by falling
 * IoU, each lesion once; ties go to the first lesion.
 */
export function matchLesions(
  { lesions, lesionOverlaps }: CaseMeasures,
  ious: readonly number[],
): MatchedLesion[] {
  const [truth, predicted] = [lesions.filter(isTrue), lesions.filter((lesion) => !isTrue(lesion))]
  const touches = lesionOverlaps.map(([trueAt, predictedAt, voxels]): Touch => {
    const union = truth[trueAt]!.voxels + predicted[predictedAt]!.voxels - voxels
    return { trueAt, predictedAt, voxels, iou: voxels / union }
  })
  const pairs = ious.map((iou) => pairsAt(touches, iou))
  const side = (own: 'trueAt' | 'predictedAt', some: typeof truth, others: typeof truth): MatchedLesion[] => {
    const other = own === 'trueAt' ? 'predictedAt' : 'trueAt'
    const byLesion = grouped(touches, own, some.length)
    return some.map((lesion, at) => {
      const met = byLesion[at]!
      const size = met.reduce((sum, touch) => sum + others[touch[other]]!.voxels, lesion.voxels)
      const shared = met.reduce((sum, touch) => sum + touch.voxels, 0)
      return {
        lesion,
        matched: met.length > 0,
        matchedAtIou: pairs.map((taken) => taken.some((pair) => pair[own] === at)),
        bestIou: Math.max(0, ...met.map(({ iou }) => iou)),
        dice: (2 * shared) / size,
      }
    })
  }
  return [...side('trueAt', truth, predicted), ...side('predictedAt', predicted, truth)]
}

function isTrue({ kind }: LesionMeasures): boolean {
  return kind === 'true'
}

function grouped(touches: readonly Touch[], by: 'trueAt' | 'predictedAt', size: number): Touch[][] {
  const groups = Array.from({ length: size }, (): Touch[] => [])
  for (const touch of touches) groups[touch[by]]!.push(touch)
  return groups
}

function pairsAt(touches: readonly Touch[], iou: number): Touch[] {
  const [usedTrue, usedPredicted] = [new Set<number>(), new Set<number>()]
  const enough = touches.filter((touch) => touch.iou >= iou)
  const bestFirst = enough.sort(
    (a, b) => b.iou - a.iou || a.trueAt - b.trueAt || a.predictedAt - b.predictedAt,
  )
  return bestFirst.filter(({ trueAt, predictedAt }) => {
    if (usedTrue.has(trueAt) || usedPredicted.has(predictedAt)) return false
    usedTrue.add(trueAt)
    usedPredicted.add(predictedAt)
    return true
  })
}
