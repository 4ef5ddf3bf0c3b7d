import type { RandomStream } from '../simulation/random.js'
import type { AugmentationOdds, PlannedAugmentation, PlannedMixing, SamplingPlan } from './sampling-plan.js'

// "mixup" cuts at a Beta(0.2, 0.2) fraction of the side (docs/method.md#10-segmentation-training)
const MIXING_BETA = 0.2

/**
 * Draw an augmentation in the order of the method: flips of axes 0, 1, 2, quarter turns, intensity scale,
 * intensity shift (docs/method.md#4-preparation-crops-and-augmentation).
 */
export function drawAugmentation(odds: AugmentationOdds, stream: RandomStream): PlannedAugmentation {
  const happens = (probability: number) => stream.uniform() < probability
  const within = (range: number) => stream.uniformIn(-range, range)
  const flip = [0, 1, 2].map(() => happens(odds.flipProbability)) as unknown as PlannedAugmentation['flip']
  const quarterTurns = happens(odds.rotateProbability) ? stream.integer(1, 3) : 0
  const intensityScale = happens(odds.scaleProbability) ? 1 + within(odds.scaleRange) : 1
  const intensityShift = happens(odds.shiftProbability) ? within(odds.shiftRange) : 0
  return { flip, quarterTurns, intensityScale, intensityShift }
}

/**
 * Draw slab swaps between the crops of an item: one axis and one length for all, and partners by a
 * permutation in which a crop may be its own partner. Null for each crop if the plan does not mix or a volume
 * gives only one crop.
 */
export function drawMixing(plan: SamplingPlan, stream: RandomStream): readonly (PlannedMixing | null)[] {
  const crops = plan.cropsPerVolume
  if (!plan.mixing || crops < 2) return Array.from({ length: crops }, () => null)
  const axis = stream.uniform() < 0.5 ? 0 : 1
  const length = Math.floor(stream.beta(MIXING_BETA, MIXING_BETA) * plan.patchVoxels[axis])
  return stream.permutation(crops).map((partner) => ({ partner, axis, length }))
}
