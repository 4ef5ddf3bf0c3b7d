import { DataError } from '../errors.js'
import type { RandomStream } from '../simulation/random.js'
import type { Vec3 } from '../volume/volume.js'
import { countVoxels, type OpenCase, type VoxelClass, voxelOfRank } from './cache-reader.js'
import type { SamplingPlan } from './sampling-plan.js'

/**
 * Draw the start of a crop (docs/method.md#4-preparation-crops-and-augmentation): a centre voxel by the odds
 * of its class, uniform within the class. The crop starts at centre - size // 2, moved inside the volume.
 * Along an axis on which the volume is shorter than the patch, the start is negative and the padding
 * symmetric.
 */
export function drawCropStart(plan: SamplingPlan, prepared: OpenCase, stream: RandomStream): Vec3 {
  const centre = drawCentre(plan, prepared, stream)
  return centre.map((at, axis) =>
    startAround(at, plan.patchVoxels[axis]!, prepared.shape[axis]!),
  ) as unknown as Vec3
}

/**
 * Return the first voxel of a patch around `centre` along one axis, in a volume of `side` voxels. Exported
 * for its test.
 */
export function startAround(centre: number, patch: number, side: number): number {
  if (side <= patch) return -Math.floor((patch - side) / 2)
  return Math.min(Math.max(centre - Math.floor(patch / 2), 0), side - patch)
}

/**
 * Return the voxel classes of a plan. Organs outside the plan are trained as background, so their labels are
 * negative.
 */
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
  throw new DataError(
    `case ${prepared.caseId}: no usable voxel (expected a label, or more than ${prepared.windowLowerHu} HU)`,
    {
      hint: 'leave this case out: its crops would be air',
      facts: { case: prepared.caseId },
    },
  )
}
