import {
  type AimedLook,
  type AimedSettings,
  drawAimedLook,
  drawAimedSize,
  missRate,
} from '../simulation/curriculum.js'
import type { RandomStream } from '../simulation/random.js'
import { organSlices, type SliceRange, type TumorSite } from '../simulation/site.js'
import { drawKind, type Radius, type SizeClass } from '../simulation/size.js'
import { simulateTumor, type TumorOutcome, type TumorPlan } from '../simulation/tumor.js'
import type { OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { NoRoomReason, PlannedTumor, SamplingPlan, WeightedOrgan } from './sampling-plan.js'

/** The planned tumors of a crop, and why a wanted tumor found no place; null if all did. */
export interface TumorPlans {
  readonly tumors: readonly PlannedTumor[]
  readonly noRoom: NoRoomReason | null
}

/** A voxel of the crop at which a user wants a tumor; `organ` null: any organ there. */
export interface WantedCentre {
  readonly voxel: Vec3
  readonly organ: OrganName | null
}

/**
 * Plan the tumors of a crop for every draw of the plan. `label` has the ids of the region, C order, the patch
 * of the plan. The organ is drawn by weight among those with voxels in the crop; without room, the other
 * organs follow. Tumors of a draw do not overlap. With `centres`, a tumor lies on one of them or nowhere.
 */
export function planTumors(
  plan: SamplingPlan,
  label: Uint8Array,
  openStream: (draw: number) => RandomStream,
  centres: readonly WantedCentre[] | null = null,
): TumorPlans {
  const present = plan.tumors.draws === 0 ? [] : organsThatMayHaveOne(plan, label, centres)
  const tumors: PlannedTumor[] = []
  const known = new Map<number, SliceRange | null>()
  const slicesOf = (site: TumorSite) => {
    const { organLabel } = site
    if (!known.has(organLabel)) known.set(organLabel, organSlices(site))
    return known.get(organLabel)!
  }
  let noRoom: NoRoomReason | null = null
  const { draws, alternatives } = plan.tumors
  for (let draw = 0; present.length > 0 && draw < draws; draw++) {
    const isAlternative = alternatives && draw > 0
    if (isAlternative && noRoom !== null) break
    const stream = openStream(draw)
    const placed: TumorPlan[] = []
    for (let count = 0; count < plan.tumors.perCrop; count++) {
      const [organ, found] = planTumor(plan, label, present, placed, centres, slicesOf, stream)
      if (found.outcome === 'placed') {
        placed.push(found.plan)
        tumors.push(asPlanned(organ.name, found.plan, draw))
      } else if (!isAlternative) noRoom = found.outcome
    }
  }
  return { tumors, noRoom }
}

/** Return a plan as sent to the runtime. */
export function asPlanned(organ: OrganName, plan: TumorPlan, draw: number): PlannedTumor {
  const { size, box, boxOrigin, edgeSigma, textureIndex, textureStart, handcraftedDifference } = plan
  const shape = { box: box.data, boxShape: box.shape, boxOrigin }
  return { organ, size, ...shape, edgeSigma, textureIndex, textureStart, handcraftedDifference, draw }
}

/** Size of a tumor, depth and contrast that are aimed at, and the organs in the order of use. */
export interface TumorKind extends AimedLook {
  readonly size: SizeClass
  readonly radiusVoxels: Radius
  /** Wanted number of voxels in the organ; only of sizes that are aimed at. */
  readonly voxels?: readonly [least: number, most: number]
  readonly organs: readonly WeightedOrgan[]
}

/**
 * Draw organs and size of a tumor. With a curriculum, the weight of an organ is multiplied by its miss rate, 1/2 without measured
 * tumors, and size, depth and contrast are those that are missed in the first organ.
 */
export function drawOrgansAndSize(
  sizes: AimedSettings,
  organs: readonly WeightedOrgan[],
  stream: RandomStream,
): TumorKind {
  const { curriculum } = sizes
  if (curriculum === null) return { ...drawKind(sizes, stream), organs: drawOrder(organs, stream) }
  const aimedOf = ({ name }: WeightedOrgan) => curriculum.find(({ organ }) => organ === name)
  const aimed = organs.map((organ) => ({
    ...organ,
    weight: organ.weight * (aimedOf(organ)?.missRate ?? missRate(0, 0)),
  }))
  const order = drawOrder(aimed, stream)
  const missed = aimedOf(order[0]!)
  if (missed === undefined) return { ...drawKind(sizes, stream), organs: order }
  const size = drawAimedSize(missed, stream) ?? drawKind(sizes, stream)
  return { ...size, ...drawAimedLook(missed, stream), organs: order }
}

/** Draw organs by weight without replacement: the first is the choice, the others are its substitutes. */
export function drawOrder(organs: readonly WeightedOrgan[], stream: RandomStream): readonly WeightedOrgan[] {
  const left = [...organs]
  const order: WeightedOrgan[] = []
  while (left.length > 0) order.push(...left.splice(stream.pick(left.map((organ) => organ.weight)), 1))
  return order
}

function organsThatMayHaveOne(
  plan: SamplingPlan,
  label: Uint8Array,
  centres: readonly WantedCentre[] | null,
): readonly WeightedOrgan[] {
  const isPresent = idsIn(label)
  const hasTumor = plan.organs.some((organ) => isPresent[organ.tumorLabel] === 1)
  if (hasTumor && plan.tumors.condition === 'organWithoutTumor') return []
  const present = plan.organs.filter((organ) => organ.weight > 0 && isPresent[organ.label] === 1)
  if (centres === null) return present
  return present.filter((organ) => centresIn(organ, plan, label, centres).length > 0)
}

/** Mark each id that occurs with 1. Neighbouring voxels are often equal, so four are compared at a time. */
function idsIn(label: Uint8Array): Uint8Array {
  const isPresent = new Uint8Array(256)
  const count = label.byteOffset % 4 === 0 ? label.length >> 2 : 0
  const words = count > 0 ? new Int32Array(label.buffer, label.byteOffset, count) : []
  for (let at = 0; at < count; at++) {
    if (at > 0 && words[at] === words[at - 1]) continue
    for (let voxel = 4 * at; voxel < 4 * at + 4; voxel++) isPresent[label[voxel]!] = 1
  }
  for (let voxel = 4 * count; voxel < label.length; voxel++) isPresent[label[voxel]!] = 1
  return isPresent
}

function planTumor(
  plan: SamplingPlan,
  label: Uint8Array,
  present: readonly WeightedOrgan[],
  earlier: readonly TumorPlan[],
  centres: readonly WantedCentre[] | null,
  slicesOf: (site: TumorSite) => SliceRange | null,
  stream: RandomStream,
): readonly [WeightedOrgan, TumorOutcome] {
  const { textureSizeVoxels, textureCount } = plan.tumors
  let failed: TumorOutcome = { outcome: 'organTooSmall' }
  const { organs: order, ...kind } = drawOrgansAndSize(plan.tumors, present, stream)
  for (const organ of order) {
    const wanted = centres && centresIn(organ, plan, label, centres)
    const centre = wanted && { centre: wanted[stream.integer(0, wanted.length - 1)]! }
    const site = { label, shape: plan.patchVoxels, organLabel: organ.label, tumorLabel: organ.tumorLabel }
    const slices = slicesOf(site)
    const place = { ...kind, ...centre, ...(slices && { slices }) }
    const found = simulateTumor(site, { ...place, earlier, textureSizeVoxels, textureCount }, stream)
    if (found.outcome === 'placed') return [organ, found]
    // one organ that is large enough makes the outcome "no room"
    if (failed.outcome === 'organTooSmall') failed = found
  }
  return [order[0]!, failed]
}

function centresIn(
  organ: WeightedOrgan,
  { patchVoxels: [, width, length] }: SamplingPlan,
  label: Uint8Array,
  centres: readonly WantedCentre[],
): Vec3[] {
  return centres
    .filter((wanted) => wanted.organ === null || wanted.organ === organ.name)
    .map(({ voxel }) => voxel)
    .filter(([x, y, z]) => label[(x * width + y) * length + z] === organ.label)
}
