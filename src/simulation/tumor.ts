import type { Vec3 } from '../volume/volume.js'
import { findCentre } from './centre.js'
import { type DepthRange, findCentreAtDepth } from './depth.js'
import type { RandomStream } from './random.js'
import { type BoxMask, boxShapeOf, type PlacedMask, type WarpControls, warpEllipsoid } from './shape.js'
import { organSlices, type SliceRange, type TumorSite } from './site.js'
import {
  drawBase,
  drawRadii,
  drawWarpSigma,
  RADIUS_VOXELS,
  type RadiusSource,
  type SizeClass,
  scaleOf,
} from './size.js'
import { meanEdgeWeight } from './soft-edge.js'
import { drawWarpControl } from './warp.js'

export { SIZE_CLASSES, type SizeClass } from './size.js'

export interface TumorOptions {
  readonly size: SizeClass
  /**
   * Base radius R in voxels, one number or one per axis, or a function that draws it. Default:
   * `RADIUS_VOXELS` of the size class. The warps scale with it: a tumor of another size or spacing has the
   * same forms.
   */
  readonly radiusVoxels?: RadiusSource
  /**
   * Wanted number of voxels in the organ: the first drawn shape that has it is taken, else the nearest by ratio. Default: any
   * shape that overlaps the organ.
   */
  readonly voxels?: readonly [least: number, most: number]
  /** A given centre, in voxels of the site. Default: a centre is searched for. */
  readonly centre?: Vec3
  /** Wanted depth of a centre that is searched for. Without such a voxel, it is searched for at any depth. */
  readonly depth?: DepthRange
  /** Wanted mean HU of the tumor less those of the organ, and the change in the intensity window that makes it. */
  readonly contrast?: { readonly hu: number; readonly change: number }
  /** First and last slice of the organ, if known (`organSlices`); saves a search. */
  readonly slices?: SliceRange
  /** Tumors of the same site whose labels this one must not overlap. Default: none. */
  readonly earlier?: readonly TumorPlan[]
  /**
   * Sides of the textures, each larger than the side of the site. Without them: texture 0 from its first
   * voxel.
   */
  readonly textureSizeVoxels?: Vec3
  /** Number of textures. Default: 1. */
  readonly textureCount?: number
}

/** A planned tumor, in voxels of its site. */
export interface TumorPlan {
  /** Id of the organ's label. */
  readonly organLabel: number
  readonly size: SizeClass
  /** Radii before the warps, in voxels. */
  readonly radii: Vec3
  /** The voxel at the middle of the unwarped ellipsoid. */
  readonly centre: Vec3
  /**
   * Standard deviation of the control values of the warps, in voxels, for a tumor with the radius of its
   * class.
   */
  readonly warpSigma: number
  /** The warped shape, trimmed to its bounding box and clipped to the site, NOT to the organ. */
  readonly box: BoxMask
  /** Voxel of the site on which voxel (0, 0, 0) of the box lies. */
  readonly boxOrigin: Vec3
  /** Standard deviation of the soft edge's blur, in voxels. */
  readonly edgeSigma: number
  readonly textureIndex: number
  /** First voxel of the crop in the texture. */
  readonly textureStart: Vec3
  /** Difference of a tumor that is painted without a generator. */
  readonly handcraftedDifference: number
  /** Depth and contrast that the tumor was aimed at; missing without any. */
  readonly aimed?: AimedPlace
}

export interface AimedPlace {
  /** `reached` false: the site shows no voxel of this depth, so the centre has any depth. */
  readonly depth?: { readonly fromMm: number; readonly toMm: number; readonly reached: boolean }
  readonly contrastHu?: number
}

export type TumorOutcome =
  | {
      readonly outcome: 'placed'
      readonly plan: TumorPlan
      /** Number of shapes drawn, 1 to 8. */
      readonly attempts: number
    }
  /** No slice of the organ has a voxel that may be a centre, or there is no organ. */
  | { readonly outcome: 'organTooSmall' }
  /** Eight tumors were drawn; each had no organ voxel or overlapped an earlier tumor. */
  | { readonly outcome: 'noRoom' }

const MAX_ATTEMPTS = 8
const EDGE_SIGMA = [1, 2] as const
const HANDCRAFTED_DIFFERENCE = [0.2, 0.7] as const
/** Mean of the textures: the middle of U(0.5, 0.55) (docs/method.md#55-texture). */
const MEAN_TEXTURE = 0.525

/**
 * Plan one tumor in an organ (docs/method.md#5-planned-tumors): radii, warped shape, centre, soft edge and
 * texture. Pure: the stream decides everything.
 * @throws RangeError if site and options do not match
 */
export function simulateTumor(site: TumorSite, options: TumorOptions, random: RandomStream): TumorOutcome {
  checkFit(site, options)
  const slices = options.slices ?? organSlices(site)
  if (slices === null) return { outcome: 'organTooSmall' }
  const edgeSigma = random.uniformIn(...EDGE_SIGMA)
  const drawnDifference = random.uniformIn(...HANDCRAFTED_DIFFERENCE)
  const { size, contrast } = options
  const asPlan = (drawn: Drawn): TumorPlan => {
    const { mask, atDepth, ...place } = drawn
    const texture = drawTexture(site.shape, options, random)
    const { box, origin: boxOrigin } = mask
    const handcraftedDifference = contrast
      ? contrast.change / (MEAN_TEXTURE * meanEdgeWeight(mask, site, edgeSigma))
      : drawnDifference
    const shared = { organLabel: site.organLabel, size, edgeSigma, handcraftedDifference }
    return { ...shared, ...place, box, boxOrigin, ...texture, ...aimedPlace(options, atDepth) }
  }
  let nearest: { readonly drawn: Drawn; readonly misfit: number } | null = null
  let depth = options.centre ? undefined : options.depth
  for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
    const deep = depth ? findCentreAtDepth(site, depth, random) : null
    // the next attempt would search in vain, too
    if (deep === null) depth = undefined
    const centre = options.centre ?? deep ?? findCentre(site, slices, random)
    if (centre === null) return { outcome: 'organTooSmall' }
    const base = drawBase(options.radiusVoxels ?? RADIUS_VOXELS[size], random)
    const radii = drawRadii(base, random)
    const warpSigma = drawWarpSigma(size, random)
    const [s0, s1, s2] = scaleOf(base, size).map((scale) => scale * warpSigma) as unknown as Vec3
    const mask = drawMask(site.shape, centre, radii, [s0, s1, s2], random)
    if (mask === null || !meetsOrgan(mask, site)) continue
    if (options.earlier?.some((tumor) => meetInOrgan(mask, placed(tumor), site))) continue
    const drawn = { radii, centre, warpSigma, mask, atDepth: deep !== null }
    const misfit = options.voxels ? misfitOf(voxelsInOrgan(mask, site), options.voxels) : 0
    if (misfit === 0) return { outcome: 'placed', plan: asPlan(drawn), attempts }
    if (nearest === null || misfit < nearest.misfit) nearest = { drawn, misfit }
  }
  if (nearest === null) return { outcome: 'noRoom' }
  return { outcome: 'placed', plan: asPlan(nearest.drawn), attempts: MAX_ATTEMPTS }
}

/** A drawn tumor; `atDepth`: its centre has the wanted depth. */
interface Drawn extends Pick<TumorPlan, 'radii' | 'centre' | 'warpSigma'> {
  readonly mask: PlacedMask
  readonly atDepth: boolean
}

function aimedPlace({ depth, contrast, centre }: TumorOptions, reached: boolean): Pick<TumorPlan, 'aimed'> {
  const { fromMm, toMm } = depth ?? { fromMm: 0, toMm: 0 }
  const aimed: AimedPlace = {
    ...(depth && !centre && { depth: { fromMm, toMm, reached } }),
    ...(contrast && { contrastHu: contrast.hu }),
  }
  return Object.keys(aimed).length > 0 ? { aimed } : {}
}

/** Return the distance of a number of voxels to a range by ratio; 0 inside. */
function misfitOf(voxels: number, [least, most]: readonly [number, number]): number {
  return Math.max(0, Math.log(least / voxels), Math.log(voxels / most))
}

function placed({ box, boxOrigin }: TumorPlan): PlacedMask {
  return { box, origin: boxOrigin }
}

function checkFit(
  { label, shape, organLabel }: TumorSite,
  { centre, textureSizeVoxels, textureCount = 1 }: TumorOptions,
): void {
  const voxels = shape[0] * shape[1] * shape[2]
  if (label.length !== voxels)
    throw new RangeError(
      `tumor site: wrong label length (expected ${voxels} voxels for [${shape}], found ${label.length})`,
    )
  if (!(organLabel >= 1 && organLabel <= 255))
    throw new RangeError(`tumor site: wrong organ (expected a label id of 1 to 255, found ${organLabel})`)
  if (centre?.some((at) => !Number.isInteger(at)))
    throw new RangeError(`tumor centre: wrong voxel (expected integers, found [${centre}])`)
  if (textureSizeVoxels?.some((side, axis) => side <= shape[axis]!) || textureCount < 1)
    throw new RangeError(
      `tumor texture: too small (expected more than the site's [${shape}] voxels, found [${textureSizeVoxels}])`,
    )
}

/** Place the warped ellipsoid on the centre, clipped to the site, in voxels of the site. */
function drawMask(
  siteShape: Vec3,
  centre: Vec3,
  radii: Vec3,
  [s0, s1, s2]: Vec3,
  random: RandomStream,
): PlacedMask | null {
  const start = centre.map((at, axis) => at - 2 * radii[axis]!) as unknown as Vec3
  const whole = boxShapeOf(radii)
  const low = start.map((from) => Math.max(0, -from)) as unknown as Vec3
  const high = start.map((from, axis) => Math.min(whole[axis]!, siteShape[axis]! - from)) as unknown as Vec3
  const planes = [[s0, s1] as const, [s1, s2] as const, [s0, s2] as const]
  const controls = planes.map((sigmas) => drawWarpControl(sigmas, random)) as unknown as WarpControls
  const mask = warpEllipsoid(radii, controls, { low, high })
  if (mask === null) return null
  const [x, y, z] = mask.origin
  return { box: mask.box, origin: [start[0] + x, start[1] + y, start[2] + z] }
}

function meetsOrgan(mask: PlacedMask, { label, shape, organLabel }: TumorSite): boolean {
  const {
    data,
    shape: [sx, sy, sz],
  } = mask.box
  const [ox, oy, oz] = mask.origin
  for (let x = 0; x < sx; x++)
    for (let y = 0; y < sy; y++) {
      const from = (x * sy + y) * sz
      const to = ((ox + x) * shape[1] + oy + y) * shape[2] + oz
      for (let z = 0; z < sz; z++) if (data[from + z] === 1 && label[to + z] === organLabel) return true
    }
  return false
}

function voxelsInOrgan({ box, origin }: PlacedMask, { label, shape, organLabel }: TumorSite): number {
  const [sx, sy, sz] = box.shape
  let voxels = 0
  for (let x = 0; x < sx; x++)
    for (let y = 0; y < sy; y++) {
      const from = (x * sy + y) * sz
      const to = ((origin[0] + x) * shape[1] + origin[1] + y) * shape[2] + origin[2]
      for (let z = 0; z < sz; z++) if (box.data[from + z] === 1 && label[to + z] === organLabel) voxels++
    }
  return voxels
}

/** Return true if an organ voxel lies in both masks. */
function meetInOrgan(a: PlacedMask, b: PlacedMask, { label, shape, organLabel }: TumorSite): boolean {
  const low = a.origin.map((from, axis) => Math.max(from, b.origin[axis]!)) as unknown as Vec3
  const high = a.origin.map((from, axis) =>
    Math.min(from + a.box.shape[axis]!, b.origin[axis]! + b.box.shape[axis]!),
  ) as unknown as Vec3
  for (let x = low[0]; x < high[0]; x++)
    for (let y = low[1]; y < high[1]; y++) {
      const inSite = (x * shape[1] + y) * shape[2]
      const inA = rowStart(a, x, y)
      const inB = rowStart(b, x, y)
      for (let z = low[2]; z < high[2]; z++)
        if (a.box.data[inA + z] === 1 && b.box.data[inB + z] === 1 && label[inSite + z] === organLabel)
          return true
    }
  return false
}

/** Return the index of voxel (x, y, 0) of the site in the data of the mask. */
function rowStart({ origin, box: { shape } }: PlacedMask, x: number, y: number): number {
  return ((x - origin[0]) * shape[1] + y - origin[1]) * shape[2] - origin[2]
}

function drawTexture(
  siteShape: Vec3,
  { textureSizeVoxels, textureCount = 1 }: TumorOptions,
  random: RandomStream,
): Pick<TumorPlan, 'textureIndex' | 'textureStart'> {
  if (!textureSizeVoxels) return { textureIndex: 0, textureStart: [0, 0, 0] }
  const start = (axis: 0 | 1 | 2) => random.integer(0, textureSizeVoxels[axis] - siteShape[axis] - 1)
  return {
    textureIndex: random.integer(0, textureCount - 1),
    textureStart: [start(0), start(1), start(2)],
  }
}
