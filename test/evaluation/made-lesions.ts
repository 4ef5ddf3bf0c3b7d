import type { CaseMeasures, LesionMeasures } from '../../src/evaluation/measures.js'
import { lesion, measuredCase, overlap } from '../helpers/measures.js'

/** Repeatable numbers in [0, 1), by nothing that the code under test uses. */
export function numbers(seed: number): () => number {
  let n = 1000 * seed
  return () => {
    const value = Math.sin(++n * 12.9898) * 43758.5453
    return value - Math.floor(value)
  }
}

/** Lesions as sets of voxels on a line, so that a test can count for itself. */
export interface LineCase {
  readonly truth: readonly ReadonlySet<number>[]
  readonly predicted: readonly (ReadonlySet<number> & { readonly score?: number })[]
}

/** Runs of 1 to 9 voxels with gaps, on either side. */
export function randomLine(next: () => number, lesions = 6): LineCase {
  const runs = (): Set<number>[] => {
    let at = Math.floor(4 * next())
    return Array.from({ length: Math.floor(next() * (lesions + 1)) }, () => {
      const length = 1 + Math.floor(9 * next())
      const run = new Set(Array.from({ length }, (_, n) => at + n))
      at += length + 1 + Math.floor(6 * next())
      return run
    })
  }
  return { truth: runs(), predicted: runs() }
}

export function common(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
  return [...a].filter((voxel) => b.has(voxel)).length
}

export function measuredLine(
  caseId: string,
  { truth, predicted }: LineCase,
  more: { readonly patient?: string; readonly scores?: readonly number[] } = {},
): CaseMeasures {
  const of = (kind: LesionMeasures['kind'], some: readonly ReadonlySet<number>[], others: typeof some) =>
    some.map((voxels, at) =>
      lesion(
        kind,
        voxels.size,
        others.some((other) => common(voxels, other) > 0),
        {
          voxels: voxels.size,
          volumeMl: voxels.size / 1000,
          score: kind === 'predicted' ? (more.scores?.[at] ?? null) : null,
        },
      ),
    )
  const all = (some: readonly ReadonlySet<number>[]) => new Set(some.flatMap((voxels) => [...voxels]))
  const [label, mask] = [all(truth), all(predicted)]
  const shared = common(label, mask)
  return measuredCase(caseId, overlap(shared, mask.size - shared, label.size - shared), {
    patient: more.patient ?? caseId,
    lesions: [...of('true', truth, predicted), ...of('predicted', predicted, truth)],
    lesionOverlaps: truth.flatMap((t, trueAt) =>
      predicted.flatMap((p, predictedAt) =>
        common(t, p) > 0 ? [[trueAt, predictedAt, common(t, p)] as const] : [],
      ),
    ),
  })
}
