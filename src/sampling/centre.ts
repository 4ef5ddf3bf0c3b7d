import { DataError } from '../errors.js'
import type { RandomStream } from '../simulation/random.js'
import type { Vec3 } from '../volume/volume.js'
import { countVoxels, type OpenCase, type VoxelClass, voxelOfRank } from './cache-reader.js'
import type { SamplingPlan } from './sampling-plan.js'

/**
 * Where a crop starts in its volume (METHOD 4): a centre voxel by the odds of its class, uniform within the class; the
 * crop starts at centre - size // 2, moved inside. Along an axis on which the volume is shorter than the patch the start
 * is negative, so that the padding is symmetric.
 */
export function drawCropStart(plan: SamplingPlan, prepared: OpenCase, stream: RandomStream): Vec3 {
  const centre = drawCentre(plan, prepared, stream)
  return centre.map((at, axis) =>
    startAround(at, plan.patchVoxels[axis]!, prepared.shape[axis]!),
  ) as unknown as Vec3
}

/** Exported for its test: along one axis, first voxel of a patch around `centre` in a volume of `side` voxels. */
export function startAround(centre: number, patch: number, side: number): number {
  if (side <= patch) return -Math.floor((patch - side) / 2)
  return Math.min(Math.max(centre - Math.floor(patch / 2), 0), side - patch)
}

/** Voxel classes of a plan. Labels of organs that the plan does not know train as background, so they are negative. */
export function voxelClasses(
  plan: Pick<SamplingPlan, 'organs'>,
  numIds: number,
): { readonly positive: VoxelClass; readonly negative: VoxelClass; readonly tumor: VoxelClass } {
  const tumors = plan.organs.map((organ) => organ.tumorLabel)
  const positive = [...plan.organs.map((organ) => organ.label), ...tumors]
  const others = Array.from({ length: numIds - 1 }, (_, at) => at + 1).filter((id) => !positive.includes(id))
  return {
    positive: { labels: positive, tissue: false },
    negative: { labels: others, tissue: true },
    tumor: { labels: tumors, tissue: false },
  }
}

function drawCentre(plan: SamplingPlan, prepared: OpenCase, stream: RandomStream): Vec3 {
  const classes = voxelClasses(plan, prepared.numIds)
  const isPositive = stream.uniform() * (plan.positiveOdds + plan.negativeOdds) < plan.positiveOdds
  const isTumor = stream.uniform() < plan.tumorOdds
  const wanted = isPositive
    ? [...(isTumor ? [classes.tumor] : []), classes.positive, classes.negative]
    : [classes.negative, classes.positive]
  for (const voxels of wanted) {
    const count = countVoxels(prepared, voxels)
    if (count > 0) return voxelOfRank(prepared, voxels, stream.integer(0, count - 1))
  }
  throw new DataError(`case ${prepared.caseId}: no voxel is labelled or above ${prepared.windowLowerHu} HU`, {
    hint: 'leave this case out: a crop of it would be all air',
    facts: { case: prepared.caseId },
  })
}
