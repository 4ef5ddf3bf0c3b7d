import type { Verdict } from '../../quality/judge.js'
import type { SynthesisLine } from '../../quality/ledger.js'
import type { WeightedOrgan } from '../../sampling/sampling-plan.js'
import { type AttemptKey, attemptStreamKey } from '../../sampling/subvolume.js'
import type { ShrunkSource } from '../../simulation/shrunk.js'
import type { SizeClass, TumorPlan } from '../../simulation/tumor.js'
import { applyAffine } from '../../volume/geometry.js'
import type { Affine, Vec3 } from '../../volume/volume.js'
import type { WrittenVariant } from '../ports/synthesis.js'
import { rejectedFileOf } from './rejected.js'

/** An attempt with a place. */
export interface Attempt {
  readonly tumor: number
  readonly attempt: number
  readonly organ: WeightedOrgan
  readonly plan: TumorPlan
  /** Real tumor that is shrunk; null for other methods. */
  readonly source: ShrunkSource | null
}

/** The start of each line of an attempt: its place in the synthesis. */
export type LineStart = Omit<SynthesisLine, 'plan' | 'verdict' | 'reason' | 'measures'>

/** Return the start of the line of an attempt. */
export function lineStart(
  key: AttemptKey,
  attempt: number,
  facts: Pick<SynthesisLine, 'round' | 'checkpoints'> & {
    readonly organ: WeightedOrgan
    readonly size: SizeClass
  },
  isShrunk: boolean,
): LineStart {
  const { seed, caseId, variant, tumor } = key
  const { round, organ, size, checkpoints } = facts
  return {
    case: caseId,
    host: null,
    variant,
    tumor,
    attempt,
    round,
    organ: organ.name,
    size,
    ...(isShrunk ? { method: 'shrunk' as const } : {}),
    seed,
    k: attemptStreamKey(key, attempt),
    checkpoints,
    time: '',
  }
}

/**
 * Return the line of a judged attempt.
 * @param grid affine of the prepared case, and first voxel of the subvolume in it
 */
export function triedLine(
  start: LineStart,
  { plan, source }: Attempt,
  verdict: Verdict,
  grid: { readonly affine: Affine; readonly start: Vec3 },
  hasBaseline: boolean,
): SynthesisLine {
  const { centre, radii, box, boxOrigin, edgeSigma, textureIndex, textureStart } = plan
  const inCase = ([x, y, z]: Vec3): Vec3 => [x + grid.start[0], y + grid.start[1], z + grid.start[2]]
  return {
    ...start,
    plan: {
      centre: inCase(centre),
      radii,
      boxOrigin: inCase(boxOrigin),
      boxShape: box.shape,
      centreMm: applyAffine(grid.affine, middleOf(inCase(boxOrigin), box.shape)),
      edgeSigma,
      textureIndex,
      textureStart,
      handcraftedDifference: plan.handcraftedDifference,
      ...(plan.aimed ? { aimed: plan.aimed } : {}),
    },
    ...(source === null
      ? {}
      : {
          source: {
            case: start.case,
            component: source.tumor.component,
            centreMm: applyAffine(grid.affine, inCase(source.tumor.centroid)),
            diameterMm: source.tumor.diameterMm,
            factor: source.factor,
          },
        }),
    verdict: verdict.accepted ? 'accepted' : 'rejected',
    reason: verdict.reason,
    measures: hasBaseline ? verdict.measures : withoutSeen(verdict.measures),
  }
}

/** Return the centre of a box, in voxels. */
function middleOf(origin: Vec3, shape: Vec3): Vec3 {
  const along = (axis: 0 | 1 | 2): number => origin[axis] + (shape[axis] - 1) / 2
  return [along(0), along(1), along(2)]
}

/** Return the measures without the detections: without a baseline, zeros would mean that it detected nothing. */
function withoutSeen(measures: Verdict['measures']): SynthesisLine['measures'] {
  const { seenVoxels: _, alreadySeenVoxels: __, shareSeen: ___, ...taken } = measures
  return taken
}

/** Return the lines of a finished variant in the order of its tumors, with the final facts of the variant. */
export function finishedLines(lines: readonly SynthesisLine[], result: WrittenVariant): SynthesisLine[] {
  const time = new Date().toISOString()
  const sorted = [...lines].sort((a, b) => a.tumor - b.tumor || a.attempt - b.attempt)
  const { files, sha256 } = result
  return sorted.map((line, at) => ({
    ...line,
    host: result.host ?? null,
    ...(line.verdict === 'accepted' && files ? { file: files.image } : {}),
    ...(line.verdict === 'accepted' && sha256 ? { sha256: sha256.image } : {}),
    ...rejectedFileOf(line, result),
    ...(at === sorted.length - 1 ? { last: true as const } : {}),
    time,
  }))
}
