import { SIZE_CLASSES, type SizeClass, simulateTumor, type TumorPlan } from '../simulation/plan.js'
import type { RandomStream } from '../simulation/random.js'
import type { PlannedTumor, SamplingPlan, WeightedOrgan } from './plan.js'

// No label scheme has this id: neither organ nor tumor.
const TAKEN = 255

/** The tumors of a crop, and whether one that was wanted found no place. */
export interface TumorPlans {
  readonly tumors: readonly PlannedTumor[]
  readonly noRoom: boolean
}

/**
 * Plans the tumors of a crop for every draw of the plan. `label` has the ids of the region, C order, the plan's patch.
 * The organ is drawn by its weight among those with voxels in the crop; where it has no room the others are tried.
 */
export function planTumors(
  plan: SamplingPlan,
  label: Uint8Array,
  openStream: (draw: number) => RandomStream,
): TumorPlans {
  const present = plan.tumors.draws === 0 ? [] : organsThatMayHaveOne(plan, label)
  const tumors: PlannedTumor[] = []
  let noRoom = false
  for (let draw = 0; present.length > 0 && draw < plan.tumors.draws; draw++) {
    const stream = openStream(draw)
    let free = label
    for (let count = 0; count < plan.tumors.perCrop; count++) {
      const tumor = planTumor(plan, free, present, draw, stream)
      if (tumor) tumors.push(tumor)
      else noRoom = true
      // The next tumor of the draw takes organ that this one left.
      if (tumor && count + 1 < plan.tumors.perCrop) free = without(free, plan, tumor)
    }
  }
  return { tumors, noRoom }
}

function organsThatMayHaveOne(plan: SamplingPlan, label: Uint8Array): readonly WeightedOrgan[] {
  const counts = new Uint32Array(256)
  for (let at = 0; at < label.length; at++) counts[label[at]!]!++
  const hasTumor = plan.organs.some((organ) => counts[organ.tumorLabel]! > 0)
  if (hasTumor && plan.tumors.condition === 'organWithoutTumor') return []
  return plan.organs.filter((organ) => organ.weight > 0 && counts[organ.label]! > 0)
}

function planTumor(
  plan: SamplingPlan,
  label: Uint8Array,
  present: readonly WeightedOrgan[],
  draw: number,
  stream: RandomStream,
): PlannedTumor | null {
  const size = SIZE_CLASSES[stream.pick(SIZE_CLASSES.map((name) => plan.tumors.sizeOdds[name]))]!
  for (const organ of drawOrder(present, stream)) {
    const { textureSizeVoxels, textureCount, radiusVoxels } = plan.tumors
    const found = simulateTumor(
      { label, shape: plan.patchVoxels, organLabel: organ.label },
      { size, radiusVoxels: radiusVoxels[size], textureSizeVoxels, textureCount },
      stream,
    )
    if (found.outcome === 'placed') return plannedTumor(organ, size, found.plan, draw)
  }
  return null
}

/** Organs by weight, without putting back: the first is the choice, the others stand in for it. */
function drawOrder(organs: readonly WeightedOrgan[], stream: RandomStream): readonly WeightedOrgan[] {
  const left = [...organs]
  const order: WeightedOrgan[] = []
  while (left.length > 0) order.push(...left.splice(stream.pick(left.map((organ) => organ.weight)), 1))
  return order
}

function plannedTumor(organ: WeightedOrgan, size: SizeClass, found: TumorPlan, draw: number): PlannedTumor {
  const { box, boxOrigin, edgeSigma, textureIndex, textureStart, handcraftedDifference } = found
  return {
    organ: organ.name,
    size,
    box: box.data,
    boxShape: box.shape,
    boxOrigin,
    edgeSigma,
    textureIndex,
    textureStart,
    handcraftedDifference,
    draw,
  }
}

function without(label: Uint8Array, plan: SamplingPlan, tumor: PlannedTumor): Uint8Array {
  const rest = label.slice()
  const [, width, length] = plan.patchVoxels
  const [rows, columns, slices] = tumor.boxShape
  for (let i = 0, at = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      for (let k = 0; k < slices; k++, at++) {
        if (tumor.box[at] === 0) continue
        const [x, y, z] = tumor.boxOrigin
        rest[((x + i) * width + y + j) * length + z + k] = TAKEN
      }
  return rest
}
