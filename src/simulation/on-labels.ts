import { DataError, UsageError } from '../errors.js'
import type { LabelMap, Vec3 } from '../volume/volume.js'
import { type MaskMeasures, measureMask, tumorMask } from './measure.js'
import { randomStream } from './random.js'
import type { PlacedMask } from './shape.js'
import type { SliceRange, TumorSite } from './site.js'
import { drawKind, RADIUS_VOXELS, type SizeClass, type SizeSettings } from './size.js'
import { simulateTumor, type TumorPlan } from './tumor.js'

export interface SimulationRequest {
  /** Id of the organ in the label map, 1 to 255. */
  readonly organLabel: number
  /** `mixed`: a size class for each tumor, with equal odds. */
  readonly size: SizeClass | 'mixed'
  /** Number of tumors. Each is planned alone, so they may overlap. */
  readonly count: number
  readonly seed: number
  /**
   * Base radius of each class in voxels of the label map, one number or one per axis. Default:
   * `RADIUS_VOXELS`.
   */
  readonly radiusVoxels?: SizeSettings['radiusVoxels']
  /** Base radii; each tumor takes one of them instead of the radius of its class. */
  readonly listedRadii?: readonly Vec3[]
  /** Voxels of the map on which the tumors are placed, in turn. Default: centres are searched for. */
  readonly centres?: readonly Vec3[]
}

/** One line of `tumors.ndjson`: shape AND organ, in voxels of the label map's array. */
export interface SimulatedTumor extends MaskMeasures {
  readonly index: number
  readonly size: SizeClass
  readonly centre: Vec3
  readonly radii: Vec3
  /** Standard deviation of the soft edge's blur, in voxels. */
  readonly edgeSigma: number
}

/**
 * `placed`: the mask holds the voxels of the tumor in the label map. `noRoom`: no tumor of this index
 * overlapped the organ. `organTooSmall`: the organ has no place for a centre, so every index fails.
 */
export type SimulatedOnLabels =
  | { readonly outcome: 'placed'; readonly tumor: SimulatedTumor; readonly mask: PlacedMask }
  | { readonly outcome: 'noRoom' | 'organTooSmall'; readonly index: number }

/**
 * Plan positions and shapes of tumors in an organ of a label map (docs/method.md#5-planned-tumors; the site
 * is the whole organ). Tumor i depends on the seed and on i only, not on the count.
 * @throws DataError if the organ is missing; UsageError for a wrong count, id or centre
 */
export function* simulateOnLabels(
  labels: LabelMap,
  request: SimulationRequest,
): Generator<SimulatedOnLabels> {
  const { organLabel, count, seed, centres } = request
  checkRequest(labels, request)
  const { site, origin, slices } = cutOrgan(labels, organLabel)
  const sizes = sizesOf(request)
  for (let index = 0; index < count; index++) {
    const stream = (draw: string) => randomStream({ seed, job: 'simulate', item: index, crop: 0, draw })
    const kind = drawKind(sizes, stream('kind'))
    const centre = centres && { centre: shifted(centres[index % centres.length]!, origin, -1) }
    const found = simulateTumor(site, { ...kind, slices, ...centre }, stream('tumor'))
    if (found.outcome === 'placed') yield onMap(index, found.plan, site, origin)
    else yield { outcome: found.outcome, index }
  }
}

function onMap(index: number, plan: TumorPlan, site: TumorSite, origin: Vec3): SimulatedOnLabels {
  const { size, centre, radii, edgeSigma } = plan
  const inSite = tumorMask(plan, site)
  const mask = { box: inSite.box, origin: shifted(inSite.origin, origin) }
  // a placed plan has at least one voxel of organ
  const measures = measureMask(mask)!
  const tumor = { index, size, centre: shifted(centre, origin), radii, ...measures, edgeSigma }
  return { outcome: 'placed', tumor, mask }
}

function sizesOf({ size, radiusVoxels = RADIUS_VOXELS, listedRadii }: SimulationRequest): SizeSettings {
  const odds = (name: SizeClass) => (size === 'mixed' || size === name ? 1 : 0)
  const sizeOdds = {
    tiny: odds('tiny'),
    small: odds('small'),
    medium: odds('medium'),
    large: odds('large'),
  }
  return { sizeOdds, radiusVoxels, listedRadii: listedRadii ?? null }
}

function checkRequest({ shape }: LabelMap, { organLabel, count, seed, centres }: SimulationRequest): void {
  if (!(Number.isInteger(organLabel) && organLabel >= 1 && organLabel <= 255))
    throw new UsageError(`organ: wrong label id (expected 1 to 255, found ${organLabel})`, {
      hint: 'pass the id of the organ in the label map',
    })
  if (!(Number.isInteger(count) && count >= 1))
    throw new UsageError(`count: wrong number (expected an integer of at least 1, found ${count})`, {
      hint: 'pass a larger count',
    })
  if (!Number.isSafeInteger(seed))
    throw new UsageError(`seed: wrong number (expected an integer, found ${seed})`, {
      hint: 'pass an integer',
    })
  const outside = centres?.find((centre) => centre.some((at, axis) => !(at >= 0 && at < shape[axis]!)))
  if (outside)
    throw new UsageError(
      `centre: outside the label map (expected below [${shape}] voxels, found [${outside}])`,
      {
        hint: 'count voxels from 0; give positions in mm as RAS',
      },
    )
}

// the 5 x 5 neighbourhood of a centre ends here: beyond this margin the map has no influence on centres
const MARGIN = 2

/**
 * Return the part of the map that holds the organ, the voxel of the map where the part starts, and the slices
 * of the organ in it.
 */
function cutOrgan(
  { data, shape }: LabelMap,
  organLabel: number,
): { readonly site: TumorSite; readonly origin: Vec3; readonly slices: SliceRange } {
  const [low, high] = organBounds(data, shape, organLabel)
  const from = low.map((at) => Math.max(0, at - MARGIN)) as unknown as Vec3
  const size = high.map((at, axis) => Math.min(shape[axis]! - 1, at + MARGIN) + 1 - from[axis]!)
  const [nx, ny, nz] = size as unknown as Vec3
  const label = new Uint8Array(nx * ny * nz)
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) {
      const start = ((from[0] + x) * shape[1] + from[1] + y) * shape[2] + from[2]
      label.set(data.subarray(start, start + nz), (x * ny + y) * nz)
    }
  const slices = [low[2] - from[2], high[2] - from[2]] as const
  return { site: { label, shape: [nx, ny, nz], organLabel }, origin: from, slices }
}

/** Return first and last index of the organ on each axis. */
function organBounds(data: Uint8Array, shape: Vec3, organLabel: number): readonly [Vec3, Vec3] {
  // a Buffer searches many bytes at a time
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
  const low: [number, number, number] = [...shape]
  const high: [number, number, number] = [-1, -1, -1]
  const widen = (axis: 0 | 1 | 2, from: number, to: number) => {
    low[axis] = Math.min(low[axis], from)
    high[axis] = Math.max(high[axis], to)
  }
  for (let at = bytes.indexOf(organLabel); at >= 0; ) {
    const row = Math.floor(at / shape[2])
    const x = Math.floor(row / shape[1])
    const y = row % shape[1]
    const start = row * shape[2]
    widen(0, x, x)
    widen(1, y, y)
    widen(2, at - start, bytes.lastIndexOf(organLabel, start + shape[2] - 1) - start)
    at = start + shape[2] < bytes.length ? bytes.indexOf(organLabel, start + shape[2]) : -1
  }
  if (high[0] < 0)
    throw new DataError(`label map: no voxel has the id ${organLabel}`, {
      hint: `ids of the map: ${[...new Set(data)].sort((a, b) => a - b).join(', ')}`,
      facts: { organLabel },
    })
  return [low, high]
}

function shifted(voxel: Vec3, by: Vec3, times = 1): Vec3 {
  return [voxel[0] + times * by[0], voxel[1] + times * by[1], voxel[2] + times * by[2]]
}
