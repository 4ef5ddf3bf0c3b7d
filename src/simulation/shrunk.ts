import { findComponents, type VoxelRun } from '../volume/components.js'
import type { Vec3 } from '../volume/volume.js'
import { findCentre } from './centre.js'
import { measureMask } from './measure.js'
import type { RandomStream } from './random.js'
import type { PlacedMask } from './shape.js'
import { organSlices, type TumorSite } from './site.js'
import { sizeOfVoxels } from './size.js'
import type { TumorPlan } from './tumor.js'

/** A real tumor of a site, from which smaller copies are made. */
export interface SourceTumor {
  /** Number among the components of its id (26 neighbours), from 0 in the order of their first voxels. */
  readonly component: number
  readonly mask: PlacedMask
  /** First voxel of the tumor, in voxels of the site. */
  readonly voxel: Vec3
  readonly voxels: number
  /** Mean voxel, in voxels of the site. */
  readonly centroid: Vec3
  /** Diameter of a ball of equal volume. */
  readonly diameterMm: number
}

/** The real tumor of a copy, and the factor of its lengths, at most 1. */
export interface ShrunkSource {
  readonly tumor: SourceTumor
  readonly factor: number
}

export type ShrunkOutcome =
  | { readonly outcome: 'placed'; readonly plan: TumorPlan; readonly source: ShrunkSource }
  /** `noTumor`: no real tumor in the organ. `tumorTooSmall`: all are smaller than the range. The others: no place. */
  | { readonly outcome: 'noTumor' | 'tumorTooSmall' | 'organTooSmall' | 'noRoom' }

export interface ShrunkOptions {
  /** Smallest and largest diameter of a copy. */
  readonly diameterMm: readonly [number, number]
  readonly spacingMm: Vec3
  /** Ids of tumors, of all organs: a copy touches none of them. */
  readonly tumorLabels: readonly number[]
  /** Earlier copies of the same site, which this one does not touch. */
  readonly earlier: readonly TumorPlan[]
  /** A given centre, in voxels of the site. Default: a centre is searched for. */
  readonly centre?: Vec3
}

/**
 * Sigma of the Gaussian that precedes the resampling, in voxels of the prepared grid, along each axis: it
 * suppresses finer detail than the grid holds, and softens the border to about a voxel.
 */
export const SHRUNK_SIGMA = 0.5
/** Centres that are tried. A copy must lie in its organ as a whole, so most centres of a thin organ fail. */
const MAX_CENTRES = 64

/** Return the real tumors of an organ, in the order of their first voxels. */
export function realTumors(
  { label, shape }: Pick<TumorSite, 'label' | 'shape'>,
  tumorLabel: number,
  spacingMm: Vec3,
): SourceTumor[] {
  const { runs, voxels } = findComponents({ data: label, shape, affine: [] }, tumorLabel)
  const own = voxels.map((): VoxelRun[] => [])
  for (const run of runs) own[run.component]!.push(run)
  return own.map((ofTumor, component) => {
    const mask = maskOf(ofTumor, shape)
    const { volume, centroid } = measureMask(mask)!
    const { row, start } = ofTumor[0]!
    const voxel: Vec3 = [Math.floor(row / shape[1]), row % shape[1], start]
    return { component, mask, voxel, voxels: volume, centroid, diameterMm: diameterOf(volume, spacingMm) }
  })
}

/** Return the mask of voxel runs of a site, in its bounding box. */
function maskOf(runs: readonly VoxelRun[], [, ny]: Vec3): PlacedMask {
  const xs = runs.map(({ row }) => Math.floor(row / ny))
  const ys = runs.map(({ row }) => row % ny)
  const low: Vec3 = [least(xs), least(ys), least(runs.map(({ start }) => start))]
  const high: Vec3 = [most(xs) + 1, most(ys) + 1, most(runs.map(({ end }) => end))]
  const shape: Vec3 = [high[0] - low[0], high[1] - low[1], high[2] - low[2]]
  const data = new Uint8Array(shape[0] * shape[1] * shape[2])
  for (const [at, { start, end }] of runs.entries()) {
    const first = ((xs[at]! - low[0]) * shape[1] + ys[at]! - low[1]) * shape[2] - low[2]
    data.fill(1, first + start, first + end)
  }
  return { box: { data, shape }, origin: low }
}

// a call with the values as arguments would overflow the stack for large tumors
function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b))
}

function most(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b))
}

/**
 * Draw the diameter of a copy, uniform in the range up to the largest tumor, and its source among the tumors
 * that are at least as large: nothing is enlarged. Null if all tumors are smaller than the range.
 */
export function drawShrunk(
  tumors: readonly SourceTumor[],
  [smallestMm, largestMm]: readonly [number, number],
  random: RandomStream,
): ShrunkSource | null {
  const largest = Math.max(...tumors.map(({ diameterMm }) => diameterMm))
  if (!(largest >= smallestMm)) return null
  const wanted = random.uniformIn(smallestMm, Math.min(largestMm, largest))
  const able = tumors.filter(({ diameterMm }) => diameterMm >= wanted)
  const tumor = able[random.integer(0, able.length - 1)]!
  return { tumor, factor: wanted / tumor.diameterMm }
}

/**
 * Plan a smaller copy of a real tumor in the healthy part of its organ (docs/method.md#shrunk-real-tumors): in the organ
 * as a whole, touching no tumor, around a centre of docs/method.md#53-centre.
 * @param source what `drawShrunk` drew; null: all tumors are too small
 */
export function planShrunk(
  site: TumorSite,
  source: ShrunkSource | null,
  options: ShrunkOptions,
  random: RandomStream,
): ShrunkOutcome {
  if (source === null) return { outcome: 'tumorTooSmall' }
  const slices = organSlices(site)
  if (slices === null) return { outcome: 'organTooSmall' }
  const shape = shrunkMask(source)
  const isTumor = new Uint8Array(256)
  for (const id of options.tumorLabels) isTumor[id] = 1
  for (let tried = 0; tried < (options.centre ? 1 : MAX_CENTRES); tried++) {
    const centre = options.centre ?? findCentre(site, slices, random)
    if (centre === null) return { outcome: 'organTooSmall' }
    const mask = { box: shape.box, origin: moved(shape.origin, centre) }
    if (!fits(mask, site, isTumor, options.earlier)) continue
    const plan: TumorPlan = {
      organLabel: site.organLabel,
      size: sizeOfVoxels(mask.box.data.reduce((sum, one) => sum + one, 0)),
      radii: mask.box.shape.map((side) => Math.ceil(side / 2)) as unknown as Vec3,
      centre,
      warpSigma: 0,
      box: mask.box,
      boxOrigin: mask.origin,
      edgeSigma: SHRUNK_SIGMA,
      textureIndex: 0,
      textureStart: [0, 0, 0],
      handcraftedDifference: 0,
    }
    return { outcome: 'placed', plan, source }
  }
  return { outcome: 'noRoom' }
}

/**
 * Return the mask of a copy, around voxel (0, 0, 0), on which the centroid of the source lies. Its number of voxels is that of
 * the source times factor^3, so that the diameter holds for ragged shapes, too: those that the source covers most.
 */
export function shrunkMask({ tumor, factor }: ShrunkSource): PlacedMask {
  const [xs, ys, zs] = [0, 1, 2].map((axis) => overlapsAlong(tumor, factor, axis)) as [
    Overlaps,
    Overlaps,
    Overlaps,
  ]
  const { data, shape } = tumor.mask.box
  const sides: Vec3 = [xs.voxels.length, ys.voxels.length, zs.voxels.length]
  const covered = new Float64Array(sides[0] * sides[1] * sides[2])
  let at = 0
  for (const overX of xs.voxels)
    for (const overY of ys.voxels)
      for (const overZ of zs.voxels) {
        let sum = 0
        for (const [x, lengthX] of overX)
          for (const [y, lengthY] of overY)
            for (const [z, lengthZ] of overZ)
              if (data[(x * shape[1] + y) * shape[2] + z] === 1) sum += lengthX * lengthY * lengthZ
        covered[at++] = sum
      }
  const wanted = Math.max(1, Math.round(tumor.voxels * factor ** 3))
  const best = [...covered.keys()].filter((voxel) => covered[voxel]! > 0)
  best.sort((one, two) => covered[two]! - covered[one]! || one - two)
  const whole = new Uint8Array(covered.length)
  for (const voxel of best.slice(0, wanted)) whole[voxel] = 1
  return trimmed({ box: { data: whole, shape: sides }, origin: [xs.first, ys.first, zs.first] })
}

/** The voxels of a copy along an axis: number of the first one, and for each the source voxels (of its box) under it. */
interface Overlaps {
  readonly first: number
  readonly voxels: readonly (readonly (readonly [source: number, length: number])[])[]
}

function overlapsAlong({ mask, centroid }: SourceTumor, factor: number, axis: number): Overlaps {
  const [from, side, middle] = [mask.origin[axis]!, mask.box.shape[axis]!, centroid[axis]!]
  const first = Math.floor(factor * (from - 0.5 - middle) + 0.5)
  const last = Math.ceil(factor * (from + side - 0.5 - middle) - 0.5)
  // in the box of the source, whose voxel s reaches from s to s + 1
  const ofCopy = (voxel: number) => middle + (voxel - 0.5) / factor - from + 0.5
  const voxels = Array.from({ length: last - first + 1 }, (_, at) => {
    const [low, high] = [ofCopy(first + at), ofCopy(first + at + 1)]
    const start = Math.max(0, Math.floor(low))
    const count = Math.max(0, Math.min(side, Math.ceil(high)) - start)
    return Array.from({ length: count }, (_, step) => {
      const source = start + step
      return [source, Math.min(high, source + 1) - Math.max(low, source)] as const
    })
  })
  return { first, voxels }
}

/** Return a mask without the empty margin of its box. */
function trimmed({ box: { data, shape }, origin }: PlacedMask): PlacedMask {
  const [, ny, nz] = shape
  const set = [...data.keys()].filter((voxel) => data[voxel] === 1)
  const places = set.map(
    (voxel): Vec3 => [Math.floor(voxel / (ny * nz)), Math.floor(voxel / nz) % ny, voxel % nz],
  )
  const along = (axis: number) => places.map((place) => place[axis]!)
  const low: Vec3 = [least(along(0)), least(along(1)), least(along(2))]
  const sides: Vec3 = [most(along(0)) - low[0] + 1, most(along(1)) - low[1] + 1, most(along(2)) - low[2] + 1]
  const inside = new Uint8Array(sides[0] * sides[1] * sides[2])
  for (const [x, y, z] of places) inside[((x - low[0]) * sides[1] + y - low[1]) * sides[2] + z - low[2]] = 1
  return { box: { data: inside, shape: sides }, origin: moved(origin, low) }
}

/** Return whether all voxels of a mask are organ, and none of their 26 neighbours is a tumor. */
function fits(
  { box, origin }: PlacedMask,
  { label, shape, organLabel }: TumorSite,
  isTumor: Uint8Array,
  earlier: readonly TumorPlan[],
): boolean {
  const idAt = ([x, y, z]: Vec3): number => label[(x * shape[1] + y) * shape[2] + z]!
  const isInside = (voxel: Vec3): boolean => voxel.every((at, axis) => at >= 0 && at < shape[axis]!)
  const [, ny, nz] = box.shape
  for (const [at, isSet] of box.data.entries()) {
    if (isSet === 0) continue
    const voxel = moved(origin, [Math.floor(at / (ny * nz)), Math.floor(at / nz) % ny, at % nz])
    if (!isInside(voxel) || idAt(voxel) !== organLabel) return false
    for (const step of NEIGHBOURS) {
      const near = moved(voxel, step)
      if (isInside(near) && isTumor[idAt(near)] === 1) return false
      if (earlier.some((plan) => holds(plan, near))) return false
    }
  }
  return true
}

const STEPS = [-1, 0, 1]
const NEIGHBOURS: readonly Vec3[] = STEPS.flatMap((x) =>
  STEPS.flatMap((y) => STEPS.map((z): Vec3 => [x, y, z])),
)

function holds({ box, boxOrigin }: TumorPlan, voxel: Vec3): boolean {
  const [x, y, z] = voxel.map((at, axis) => at - boxOrigin[axis]!) as unknown as Vec3
  const [nx, ny, nz] = box.shape
  if (x < 0 || y < 0 || z < 0 || x >= nx || y >= ny || z >= nz) return false
  return box.data[(x * ny + y) * nz + z] === 1
}

function moved(voxel: Vec3, by: Vec3): Vec3 {
  return [voxel[0] + by[0], voxel[1] + by[1], voxel[2] + by[2]]
}

function diameterOf(voxels: number, [x, y, z]: Vec3): number {
  return Math.cbrt((6 * voxels * x * y * z) / Math.PI)
}
