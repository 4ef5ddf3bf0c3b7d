import { DataError } from '../errors.js'
import type { RandomStream } from '../simulation/random.js'
import { IGNORED_LABEL } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import { countVoxels, type OpenCase, type VoxelClass, voxelOfRank } from './cache-reader.js'
import type { HardNegativeVoxel } from './positions.js'
import type { SamplingPlan } from './sampling-plan.js'

/**
 * Draw the start of a crop (docs/method.md#4-preparation-crops-and-augmentation): a centre voxel by the odds
 * of its class, uniform within the class. The crop starts at centre - size // 2, moved inside the volume.
 * Along an axis on which the volume is shorter than the patch, the start is negative and the padding
 * symmetric.
 */
export function drawCropStart(
  plan: SamplingPlan,
  prepared: OpenCase,
  streamOf: (use: 'centre' | 'hard negative') => RandomStream,
): { readonly start: Vec3; readonly isHardNegative: boolean } {
  const { centre, isHardNegative } = drawCentre(plan, prepared, streamOf)
  const start = centre.map((at, axis) => startAround(at, plan.patchVoxels[axis]!, prepared.shape[axis]!))
  return { start: start as unknown as Vec3, isHardNegative }
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

interface Centre {
  readonly centre: Vec3
  readonly isHardNegative: boolean
}

function drawCentre(
  plan: SamplingPlan,
  prepared: OpenCase,
  streamOf: (use: 'centre' | 'hard negative') => RandomStream,
): Centre {
  const stream = streamOf('centre')
  const classes = voxelClasses(plan, prepared.numIds)
  const isPositive = stream.uniform() * (plan.positiveOdds + plan.negativeOdds) < plan.positiveOdds
  const isTumor = stream.uniform() < plan.tumorOdds
  if (!isPositive && plan.hardNegatives !== null && prepared.hardNegatives !== null) {
    // a stream of its own: crops without a false positive stay those of a run without the list
    const own = streamOf('hard negative')
    const centre =
      own.uniform() < plan.hardNegatives.share
        ? aroundFalsePositive(plan, prepared, prepared.hardNegatives, own)
        : null
    if (centre !== null) return { centre, isHardNegative: true }
  }
  const wanted = isPositive
    ? [...(isTumor ? [classes.tumor] : []), classes.positive, classes.negative]
    : [classes.negative, classes.positive]
  for (const voxels of wanted) {
    const count = countVoxels(prepared, voxels)
    if (count > 0)
      return {
        centre: voxelOfRank(prepared, voxels, stream.integer(0, count - 1)),
        isHardNegative: false,
      }
  }
  throw new DataError(
    `case ${prepared.caseId}: no usable voxel (expected a label, or more than ${prepared.windowLowerHu} HU)`,
    {
      hint: 'leave this case out: its crops would be air',
      facts: { case: prepared.caseId },
    },
  )
}

/** Attempts to find a centre that is not ignored. */
const MOST_SHIFTS = 8

/**
 * Draw a voxel at most a quarter of the patch away from a false positive, so that it does not always lie in the middle of its
 * crop. A false positive is drawn in proportion to its score; if one has no score, all are drawn equally often.
 * @returns null if only ignored voxels were drawn
 */
function aroundFalsePositive(
  plan: SamplingPlan,
  { shape, label }: OpenCase,
  listed: readonly HardNegativeVoxel[],
  stream: RandomStream,
): Vec3 | null {
  const scored = listed.every(({ score }) => score !== null && score > 0)
  const weights = listed.map(({ score }) => (scored ? score! : 1))
  let left = stream.uniform() * weights.reduce((sum, weight) => sum + weight, 0)
  // rounding may leave a rest behind the last one
  const at = weights.findIndex((weight) => {
    left -= weight
    return left < 0
  })
  const { voxel } = listed[at === -1 ? listed.length - 1 : at]!
  for (let attempt = 0; attempt < MOST_SHIFTS; attempt++) {
    const centre = voxel.map((place, axis) => {
      const reach = Math.floor(plan.patchVoxels[axis]! / 4)
      return Math.min(Math.max(place + stream.integer(-reach, reach), 0), shape[axis]! - 1)
    }) as unknown as Vec3
    const end = centre.map((place) => place + 1)
    if (label.read(centre, end)[0] !== IGNORED_LABEL) return centre
  }
  return null
}
