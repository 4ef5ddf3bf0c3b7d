import { ConfigError } from '../errors.js'
import { openStream, permuteIndex, type RandomStream } from '../simulation/random.js'
import { drawAugmentation, drawMixing } from './augmentation.js'
import { type OpenCase, readCrop } from './cache-reader.js'
import { drawCropStart } from './centre.js'
import { centresWithin } from './positions.js'
import type { PlannedCrop, SampledCase, SamplingPlan } from './sampling-plan.js'
import { planTumors } from './tumors.js'

/**
 * Item k: the crops of one volume with their augmentation, tumor plans and mixing (ARCHITECTURE, Items). A pure function
 * of the plan, k, and the prepared case, which must be that of `caseOfItem`.
 */
export function planItem(plan: SamplingPlan, item: number, prepared: OpenCase): PlannedCrop[] {
  const mixing = drawMixing(plan, streamOf(plan, item, 0, 'mixing'))
  const crops: PlannedCrop[] = []
  for (let crop = 0; crop < plan.cropsPerVolume; crop++) {
    const start = drawCropStart(plan, prepared, streamOf(plan, item, crop, 'centre'))
    const { image, label } = readCrop(prepared, start, plan.patchVoxels)
    const augmentation = drawAugmentation(plan.augmentation, streamOf(plan, item, crop, 'augmentation'))
    const centres = prepared.centres && centresWithin(prepared.centres, start, plan.patchVoxels)
    const tumorStream = (draw: number) => streamOf(plan, item, crop, `tumors ${draw}`)
    const planned = planTumors(plan, label, tumorStream, centres)
    const { caseId } = prepared
    crops.push({ item, crop, caseId, image, label, augmentation, mixing: mixing[crop]!, ...planned })
  }
  return crops
}

/** The case of item k: every epoch visits each case exactly `repeat` times, in an order of its own. */
export function caseOfItem(plan: SamplingPlan, item: number): SampledCase {
  const ends = visitsUpTo(plan)
  const perEpoch = ends.at(-1) ?? 0
  if (perEpoch === 0) throw new RangeError(`item ${item} has no case`)
  const epoch = Math.floor(item / perEpoch)
  const visit = permuteIndex(item % perEpoch, perEpoch, [plan.seed, plan.job, 'epoch', epoch])
  let [low, high] = [0, ends.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (visit < ends[middle]!) high = middle
    else low = middle + 1
  }
  return plan.cases[low]!
}

/** Of a plan: how many visits of an epoch go to its first cases, including each. Added up once, for any number of items. */
const knownVisits = new WeakMap<SamplingPlan, Float64Array>()

function visitsUpTo(plan: SamplingPlan): Float64Array {
  const known = knownVisits.get(plan)
  if (known) return known
  const ends = new Float64Array(plan.cases.length)
  let total = 0
  for (const [at, { repeat }] of plan.cases.entries()) ends[at] = total += repeat
  knownVisits.set(plan, ends)
  return ends
}

/** Raises ConfigError, naming the key, when no item of the plan could be made. */
export function checkPlan(plan: SamplingPlan): void {
  const { patchVoxels, tumors } = plan
  const fail = (message: string, hint: string) => {
    throw new ConfigError(message, { hint })
  }
  if (plan.cases.length === 0) fail('no case to train on', 'check the data section: roles, folds and repeats')
  const idle = plan.cases.find((sampled) => !Number.isInteger(sampled.repeat) || sampled.repeat < 1)
  if (idle)
    fail(`case ${idle.id}: repeat must be an integer of at least 1, got ${idle.repeat}`, 'leave the case out')
  if (plan.positiveOdds + plan.negativeOdds <= 0)
    fail('sampling.positiveOdds and negativeOdds are both 0', 'set at least one, for instance 1 and 0')
  if (plan.augmentation.rotateProbability > 0 && patchVoxels[0] !== patchVoxels[1])
    fail(
      `sampling.patchVoxels [${patchVoxels}] must be equal on the first two axes, in which crops are rotated`,
      'make them equal or set sampling.augmentation.rotateProbability to 0',
    )
  if (tumors.draws === 0) return
  if (patchVoxels.some((side, axis) => side >= tumors.textureSizeVoxels[axis]!))
    fail(
      `simulation.texture.sizeVoxels [${tumors.textureSizeVoxels}] must exceed the patch [${patchVoxels}] on every axis`,
      'enlarge the textures',
    )
  if (!Object.values(tumors.sizeOdds).some((odds) => odds > 0))
    fail('simulation.sizeOdds leaves no size for a tumor', 'give at least one size class odds above 0')
  if (!plan.organs.some((organ) => organ.weight > 0))
    fail(
      'simulation.organWeights leaves no organ for a tumor',
      'give the organ of the target a weight above 0',
    )
}

/** Each use has a stream of its own, so that a change of one leaves the others as they were. */
function streamOf(plan: SamplingPlan, item: number, crop: number, use: string): RandomStream {
  return openStream([plan.seed, plan.job, item, crop, use])
}
