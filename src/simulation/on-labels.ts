import { DataError, UsageError } from '../errors.js'
import type { LabelMap, Vec3 } from '../volume/volume.js'
import { type MaskMeasures, measureMask, tumorMask } from './measure.js'
import { simulateTumor } from './plan.js'
import { randomStream } from './random.js'
import type { PlacedMask } from './shape.js'
import type { SliceRange, TumorSite } from './site.js'
import type { RadiusSource, SizeClass } from './size.js'

export interface SimulationRequest {
  /** Id of the organ in the label map, 1 to 255. */
  readonly organLabel: number
  readonly size: SizeClass
  /** Tumors wanted, each by itself: they may overlap one another. */
  readonly count: number
  readonly seed: number
  /** Base radius in voxels of the label map's grid; default that of the size class. */
  readonly radiusVoxels?: RadiusSource
}

/** One line of `tumors.ndjson`: shape AND organ, in voxels of the label map's array. */
export interface SimulatedTumor extends MaskMeasures {
  readonly index: number
  readonly size: SizeClass
  readonly centre: Vec3
  readonly radii: Vec3
  /** Standard deviation of the soft edge's blur. */
  readonly edgeSigma: number
}

/** `mask`: the voxels of the tumor, placed in the label map. `noRoom`: no tumor of this index met the organ. */
export type SimulatedOnLabels =
  | { readonly outcome: 'placed'; readonly tumor: SimulatedTumor; readonly mask: PlacedMask }
  | { readonly outcome: 'noRoom'; readonly index: number }

/**
 * Positions and shapes of tumors in an organ of a label map (METHOD 5, the organ's whole region). Tumor i depends on the
 * seed and i only, whatever the count. Raises DataError when the organ is missing or nowhere wide enough for a centre,
 * UsageError for a count or an id that cannot be.
 */
export function* simulateOnLabels(
  labels: LabelMap,
  request: SimulationRequest,
): Generator<SimulatedOnLabels> {
  const { organLabel, size, count, seed, radiusVoxels } = request
  checkRequest(request)
  const { site, origin, slices } = cutOrgan(labels, organLabel)
  const options = { size, slices, ...(radiusVoxels === undefined ? {} : { radiusVoxels }) }
  for (let index = 0; index < count; index++) {
    const stream = randomStream({ seed, job: 'simulate', item: index, crop: 0, draw: 'tumor' })
    const found = simulateTumor(site, options, stream)
    if (found.outcome === 'organTooSmall')
      throw new DataError(
        `label map: id ${organLabel} has no slice with a voxel whose 5 x 5 neighbourhood is all ${organLabel}`,
        { hint: 'check the id, or that the third axis of the array is the axial one', facts: { organLabel } },
      )
    if (found.outcome === 'noRoom') {
      yield { outcome: 'noRoom', index }
      continue
    }
    const { centre, radii, edgeSigma } = found.plan
    const inSite = tumorMask(found.plan, site)
    const mask = { box: inSite.box, origin: shifted(inSite.origin, origin) }
    // A plan that was placed has at least one voxel of organ.
    const measures = measureMask(mask)!
    yield {
      outcome: 'placed',
      tumor: { index, size, centre: shifted(centre, origin), radii, ...measures, edgeSigma },
      mask,
    }
  }
}

function checkRequest({ organLabel, count, seed }: SimulationRequest): void {
  if (!(Number.isInteger(organLabel) && organLabel >= 1 && organLabel <= 255))
    throw new UsageError(`organ: a label id of 1 to 255 is needed, got ${organLabel}`)
  if (!(Number.isInteger(count) && count >= 1))
    throw new UsageError(`count: an integer of at least 1 is needed, got ${count}`)
  if (!Number.isSafeInteger(seed)) throw new UsageError(`seed: an integer is needed, got ${seed}`)
}

// As far as a centre looks about it: beyond this margin the map cannot change where one may be.
const MARGIN = 2

/** The part of the map that holds the organ, the voxel of the map where it starts, and the organ's slices in it. */
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

/** First and last index of the organ on each axis. */
function organBounds(data: Uint8Array, shape: Vec3, organLabel: number): readonly [Vec3, Vec3] {
  // A Buffer searches many bytes at a time.
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

function shifted(voxel: Vec3, by: Vec3): Vec3 {
  return [voxel[0] + by[0], voxel[1] + by[1], voxel[2] + by[2]]
}
