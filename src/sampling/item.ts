import { ConfigError } from '../errors.js'
import { openStream, permuteIndex, type RandomStream } from '../simulation/random.js'
import { drawAugmentation, drawMixing } from './augmentation.js'
import { type OpenCase, readCrop } from './cache-reader.js'
import { drawCropStart } from './centre.js'
import { centresWithin } from './positions.js'
import type { PlannedCrop, SampledCase, SamplingPlan } from './sampling-plan.js'
import { planTumors } from './tumors.js'

/**
 * Plan item k: the crops of one volume with augmentation, planned tumors and mixing. A pure function of the
 * plan, of k, and of the prepared case, which must be that of `caseOfItem`.
 */
export function planItem(plan: SamplingPlan, item: number, prepared: OpenCase): PlannedCrop[] {
  const mixing = drawMixing(plan, streamOf(plan, item, 0, 'mixing'))
  const crops: PlannedCrop[] = []
  for (let crop = 0; crop < plan.cropsPerVolume; crop++) {
    const { start, isHardNegative } = drawCropStart(plan, prepared, (use) => streamOf(plan, item, crop, use))
    const { image, label } = readCrop(prepared, start, plan.patchVoxels)
    const augmentation = drawAugmentation(plan.augmentation, streamOf(plan, item, crop, 'augmentation'))
    const centres = prepared.centres && centresWithin(prepared.centres, start, plan.patchVoxels)
    const tumorStream = (draw: number) => streamOf(plan, item, crop, `tumors ${draw}`)
    const planned = isHardNegative ? NO_TUMOR : planTumors(plan, label, tumorStream, centres)
    const { caseId } = prepared
    crops.push({ item, crop, caseId, image, label, augmentation, mixing: mixing[crop]!, ...planned })
  }
  return crops
}

/** A crop around a false positive shows it as it is. */
const NO_TUMOR = { tumors: [], noRoom: null } as const

/** Return the case of item k. Every epoch visits each case exactly `repeat` times, in its own order. */
export function caseOfItem(plan: SamplingPlan, item: number): SampledCase {
  const ends = visitsUpTo(plan)
  const perEpoch = ends.at(-1) ?? 0
  if (perEpoch === 0) throw new RangeError(`item ${item}: no case in the plan`)
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

/** Visits of an epoch up to and including each case of a plan; summed once for all items. */
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

/**
 * Check that items of a plan can be planned.
 * @throws ConfigError that names the wrong key
 */
export function checkPlan(plan: SamplingPlan): void {
  const { patchVoxels, tumors } = plan
  const fail = (message: string, hint: string) => {
    throw new ConfigError(message, { hint })
  }
  if (plan.cases.length === 0)
    fail('data.datasets: no case to train on', 'correct the roles, folds and repeats of the data section')
  const idle = plan.cases.find((sampled) => !Number.isInteger(sampled.repeat) || sampled.repeat < 1)
  if (idle)
    fail(
      `case ${idle.id}: wrong repeat (expected an integer of at least 1, found ${idle.repeat})`,
      'leave the case out',
    )
  if (plan.positiveOdds + plan.negativeOdds <= 0)
    fail('sampling.positiveOdds, sampling.negativeOdds: both are 0', 'set at least one, for instance 1 and 0')
  checkHardNegatives(plan, fail)
  if (plan.augmentation.rotateProbability > 0 && patchVoxels[0] !== patchVoxels[1])
    fail(
      `sampling.patchVoxels: rotation needs a square (expected equal first two sides, found [${patchVoxels}])`,
      'make them equal, or set sampling.augmentation.rotateProbability to 0',
    )
  if (tumors.draws === 0) return
  if (patchVoxels.some((side, axis) => side >= tumors.textureSizeVoxels[axis]!))
    fail(
      `simulation.texture.sizeVoxels: too small (expected more than the patch [${patchVoxels}], found [${tumors.textureSizeVoxels}])`,
      'set larger sides',
    )
  if (!Object.values(tumors.sizeOdds).some((odds) => odds > 0))
    fail('simulation.sizeOdds: all odds are 0', 'give at least one size class odds above 0')
  checkCurriculum(plan, fail)
  if (!plan.organs.some((organ) => organ.weight > 0))
    fail(
      'simulation.organWeights: no organ of the target has a weight',
      'give the organ of the target a weight above 0',
    )
}

function checkCurriculum(
  { organs, tumors: { curriculum } }: SamplingPlan,
  fail: (message: string, hint: string) => void,
): void {
  if (
    curriculum === null ||
    organs.some(({ name, weight }) => weight > 0 && curriculum.some(({ organ }) => organ === name))
  )
    return
  const names = organs.filter(({ weight }) => weight > 0).map(({ name }) => name)
  fail(
    `simulation.curriculum: no range to aim at (expected one of ${names.join(', ')} above 5 mm and 3 voxels)`,
    'write the list with `freetumor evaluate`, or set simulation.curriculum to null',
  )
}

function checkHardNegatives(
  { hardNegatives, cases, negativeOdds }: SamplingPlan,
  fail: (message: string, hint: string) => void,
): void {
  if (hardNegatives === null) return
  if (negativeOdds <= 0)
    fail(
      'sampling.hardNegatives: not used (expected sampling.negativeOdds above 0, found 0)',
      'set sampling.negativeOdds to 1',
    )
  const known = new Set(cases.map(({ id }) => id))
  if (!hardNegatives.list.some((one) => known.has(one.case)))
    fail(
      `sampling.hardNegatives: no case of the training is listed (expected one such as ${cases[0]!.id}, found ${hardNegatives.list[0]!.case})`,
      'write the list with `freetumor hard-negatives --dataset NAME`, for a data set of this run',
    )
}

/** Open the stream of one use; each use has its own, so a change of one does not affect the others. */
function streamOf(plan: SamplingPlan, item: number, crop: number, use: string): RandomStream {
  return openStream([plan.seed, plan.job, item, crop, use])
}
