import {
  SIZE_CLASSES,
  type SizeClass,
  simulateTumor,
  type TumorOutcome,
  type TumorPlan,
} from '../simulation/plan.js'
import { openStream } from '../simulation/random.js'
import type { TumorSite } from '../simulation/site.js'
import type { OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { PlannedTumor, TumorSampling, WeightedOrgan } from './plan.js'
import { type CaseGroup, openZarrArray } from './zarr-array.js'

/** The part of a prepared case that offline synthesis works on (METHOD 6). */
export interface Region {
  /** First voxel, and sides, in voxels of the prepared case. */
  readonly start: Vec3
  readonly shape: Vec3
  /** Ids of the region's label scheme, C order. */
  readonly label: Uint8Array
}

/**
 * The bounding box of all labels of a case; an axis shorter than `widenTo` grows by (widenTo - length) // 2 at both ends, as
 * far as the case reaches. Null when the case has no label at all.
 */
export async function readRegion(group: CaseGroup, widenTo: Vec3): Promise<Region | null> {
  const array = await openZarrArray(group, 'label', 'uint8')
  try {
    const shape = array.shape as Vec3
    const bounds = boundsOf((await array.read([0, 0, 0], shape)) as Uint8Array, shape)
    if (bounds === null) return null
    const start: number[] = []
    const stop: number[] = []
    for (const axis of [0, 1, 2] as const) {
      const [low, high] = bounds[axis]!
      const grow = Math.max(0, Math.floor((widenTo[axis] - (high - low)) / 2))
      start.push(Math.max(0, low - grow))
      stop.push(Math.min(shape[axis], high + grow))
    }
    const label = (await array.read(start, stop)) as Uint8Array
    const side = stop.map((end, axis) => end - start[axis]!)
    return { start: start as unknown as Vec3, shape: side as unknown as Vec3, label }
  } finally {
    array.close()
  }
}

/** Which try of which tumor of which variant: with the seed, all that decides the plan. */
export interface AttemptKey {
  readonly seed: number
  readonly caseId: string
  readonly variant: number
  readonly tumor: number
}

/** What a tumor is to be, the same for all its tries: its size, and organs in the order in which they are tried. */
export function drawTumorKind(
  { seed, caseId, variant, tumor }: AttemptKey,
  organs: readonly WeightedOrgan[],
  sizeOdds: TumorSampling['sizeOdds'],
): { readonly size: SizeClass; readonly organs: readonly WeightedOrgan[] } {
  const stream = openStream([seed, 'synthesize', caseId, variant, tumor, 'kind'])
  const size = SIZE_CLASSES[stream.pick(SIZE_CLASSES.map((name) => sizeOdds[name]))]!
  const left = [...organs]
  const order: WeightedOrgan[] = []
  while (left.length > 0) order.push(...left.splice(stream.pick(left.map((organ) => organ.weight)), 1))
  return { size, organs: order }
}

/** The random numbers' key of a try; the ledger keeps it. */
export function attemptStreamKey(key: AttemptKey, attempt: number): readonly (string | number)[] {
  return [key.seed, 'synthesize', key.caseId, key.variant, key.tumor, attempt]
}

/** Plans one try in a region. `earlier` tumors of the variant keep their voxels. */
export function planAttempt(
  region: Region,
  streamKey: readonly (string | number)[],
  organ: WeightedOrgan,
  size: SizeClass,
  settings: Pick<TumorSampling, 'radiusVoxels' | 'textureSizeVoxels' | 'textureCount'>,
  earlier: readonly TumorPlan[],
): TumorOutcome {
  const site: TumorSite = { label: region.label, shape: region.shape, organLabel: organ.label }
  return simulateTumor(
    site,
    {
      size,
      radiusVoxels: settings.radiusVoxels[size],
      textureSizeVoxels: texturesFor(region.shape, settings.textureSizeVoxels),
      textureCount: settings.textureCount,
      earlier,
    },
    openStream(streamKey),
  )
}

/** Sides of the textures of a region: a larger region has larger ones of its own (the runtime goes by the same rule). */
export function texturesFor(shape: Vec3, textureSizeVoxels: Vec3): Vec3 {
  return textureSizeVoxels.map((side, axis) => Math.max(side, shape[axis]! + 16)) as unknown as Vec3
}

/** A plan as it is sent to the runtime. */
export function asPlanned(organ: OrganName, size: SizeClass, plan: TumorPlan): PlannedTumor {
  const { box, boxOrigin, edgeSigma, textureIndex, textureStart, handcraftedDifference } = plan
  const shape = { box: box.data, boxShape: box.shape, boxOrigin }
  return { organ, size, ...shape, edgeSigma, textureIndex, textureStart, handcraftedDifference, draw: 0 }
}

function boundsOf(label: Uint8Array, shape: Vec3): readonly (readonly [number, number])[] | null {
  const low = [...shape]
  const high = [0, 0, 0]
  let at = 0
  for (let x = 0; x < shape[0]; x++)
    for (let y = 0; y < shape[1]; y++, at += shape[2]) {
      const row = label.subarray(at, at + shape[2])
      const first = row.findIndex((id) => id > 0)
      if (first < 0) continue
      const place = [x, y, first]
      const end = [x + 1, y + 1, row.findLastIndex((id) => id > 0) + 1]
      for (const axis of [0, 1, 2]) {
        low[axis] = Math.min(low[axis]!, place[axis]!)
        high[axis] = Math.max(high[axis]!, end[axis]!)
      }
    }
  return high[0] === 0 ? null : low.map((from, axis) => [from, high[axis]!] as const)
}
