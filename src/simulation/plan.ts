import type { Region } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import { drawCentre, organSlices } from './centre.js'
import type { RandomStream } from './random.js'
import { type BoxMask, ellipsoidBox, extentOf, type WarpControl, warpThrice } from './shape.js'

export type SizeClass = 'tiny' | 'small' | 'medium' | 'large'
export const SIZE_CLASSES: readonly SizeClass[] = ['tiny', 'small', 'medium', 'large']

/** Base radius of a size class, in voxels of the grid (METHOD 5). */
export const RADIUS_VOXELS: Readonly<Record<SizeClass, number>> = { tiny: 4, small: 8, medium: 16, large: 32 }

/** How often each size is drawn, as published. */
export const SIZE_ODDS: Readonly<Record<Region | 'lungNodules', Readonly<Record<SizeClass, number>>>> = {
  abdomen: { tiny: 0.25, small: 0.25, medium: 0.25, large: 0.25 },
  chest: { tiny: 0.35, small: 0.35, medium: 0.3, large: 0 },
  lungNodules: { tiny: 0.5, small: 0.5, medium: 0, large: 0 },
}

const MAX_ATTEMPTS = 8

/** Where a tumor may go: a crop (or a whole region) of label ids, C order. */
export interface TumorSite {
  readonly label: Uint8Array
  readonly shape: Vec3
  /** The id that is role 1; every other id, real tumors among them, is left as it is. */
  readonly organLabel: number
}

export interface TumorOptions {
  readonly size: SizeClass
  /** Base radius in voxels; default that of the size class. */
  readonly radiusVoxels?: number
  /** A place chosen by the user instead of drawn. */
  readonly centre?: Vec3
  /** Textures: voxels of each, and how many there are. */
  readonly textureSizeVoxels: Vec3
  readonly textureCount: number
}

/** A tumor in voxels of its site (METHOD 5). */
export interface TumorPlan {
  readonly size: SizeClass
  readonly radii: Vec3
  readonly centre: Vec3
  /** Standard deviation of the warps' control values, voxels. */
  readonly warpSigma: number
  /** The warped shape, trimmed to its extent and to the site. */
  readonly box: BoxMask
  /** Voxel of the site on which voxel (0, 0, 0) of the box lies. */
  readonly boxOrigin: Vec3
  /** Voxels of shape AND organ. */
  readonly volume: number
  readonly edgeSigma: number
  readonly textureIndex: number
  readonly textureStart: Vec3
  readonly handcraftedDifference: number
}

export type TumorOutcome =
  | { readonly outcome: 'placed'; readonly plan: TumorPlan; readonly attempts: number }
  /** No voxel of the organ has its 5x5 neighbourhood whole, in any slice. */
  | { readonly outcome: 'organTooSmall' }
  /** Eight shapes were drawn and none met the organ. */
  | { readonly outcome: 'noRoom' }

/** Draws a tumor's place, size and shape in an organ. Pure: the stream decides everything. */
export function simulateTumor(site: TumorSite, options: TumorOptions, random: RandomStream): TumorOutcome {
  const slices = organSlices(site.label, site.shape, site.organLabel)
  if (slices === null) return { outcome: 'organTooSmall' }
  const base = options.radiusVoxels ?? RADIUS_VOXELS[options.size]
  for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
    const radii = drawRadii(base, random)
    const warpSigma = drawWarpSigma(options.size, random)
    const shape = warpThrice(ellipsoidBox(radii), drawControls(warpSigma, random))
    const centre = options.centre ?? drawCentre(site.label, site.shape, site.organLabel, slices, random)
    if (centre === null) return { outcome: 'organTooSmall' }
    const placed = trimToSite(shape, radii, centre, site.shape)
    const volume = placed === null ? 0 : voxelsInOrgan(placed.box, placed.origin, site)
    if (placed === null || volume === 0) continue
    const plan: TumorPlan = {
      size: options.size,
      radii,
      centre,
      warpSigma,
      box: placed.box,
      boxOrigin: placed.origin,
      volume,
      edgeSigma: random.uniformIn(1, 2),
      ...drawTexture(options, site.shape, random),
      handcraftedDifference: random.uniformIn(0.2, 0.7),
    }
    return { outcome: 'placed', plan, attempts }
  }
  return { outcome: 'noRoom' }
}

function drawRadii(base: number, random: RandomStream): Vec3 {
  const [low, high] = [Math.trunc(0.75 * base), Math.trunc(1.25 * base)]
  return [random.integer(low, high), random.integer(low, high), random.integer(low, high)]
}

function drawWarpSigma(size: SizeClass, random: RandomStream): number {
  switch (size) {
    case 'tiny':
      return random.uniformIn(0.5, 1)
    case 'small':
      return random.integer(1, 2)
    case 'medium':
      return random.integer(3, 6)
    case 'large':
      return random.integer(5, 10)
  }
}

function drawControls(sigma: number, random: RandomStream): [WarpControl, WarpControl, WarpControl] {
  const control = (): WarpControl => Float64Array.from({ length: 18 }, () => sigma * random.normal())
  return [control(), control(), control()]
}

function drawTexture(
  options: TumorOptions,
  shape: Vec3,
  random: RandomStream,
): Pick<TumorPlan, 'textureIndex' | 'textureStart'> {
  const start = (axis: 0 | 1 | 2): number =>
    random.integer(0, options.textureSizeVoxels[axis] - shape[axis] - 1)
  return {
    textureIndex: random.integer(0, options.textureCount - 1),
    textureStart: [start(0), start(1), start(2)],
  }
}

/** Lays box voxel 2 r on the centre, and keeps what is 1 and inside the site; null when nothing is. */
function trimToSite(
  shape: BoxMask,
  radii: Vec3,
  centre: Vec3,
  site: Vec3,
): { readonly box: BoxMask; readonly origin: Vec3 } | null {
  const extent = extentOf(shape)
  if (extent === null) return null
  const low: number[] = []
  const high: number[] = []
  for (const axis of [0, 1, 2] as const) {
    const offset = centre[axis] - 2 * radii[axis]
    low.push(Math.max(extent[axis][0], -offset))
    high.push(Math.min(extent[axis][1], site[axis] - 1 - offset))
    if (low[axis]! > high[axis]!) return null
  }
  const size: Vec3 = [high[0]! - low[0]! + 1, high[1]! - low[1]! + 1, high[2]! - low[2]! + 1]
  const data = new Uint8Array(size[0] * size[1] * size[2])
  for (let i = 0; i < size[0]; i++)
    for (let j = 0; j < size[1]; j++) {
      const source = ((i + low[0]!) * shape.shape[1] + j + low[1]!) * shape.shape[2] + low[2]!
      data.set(shape.data.subarray(source, source + size[2]), (i * size[1] + j) * size[2])
    }
  const origin: Vec3 = [
    centre[0] - 2 * radii[0] + low[0]!,
    centre[1] - 2 * radii[1] + low[1]!,
    centre[2] - 2 * radii[2] + low[2]!,
  ]
  return { box: { data, shape: size }, origin }
}

function voxelsInOrgan(box: BoxMask, origin: Vec3, site: TumorSite): number {
  let count = 0
  const [n0, n1, n2] = box.shape
  for (let i = 0; i < n0; i++)
    for (let j = 0; j < n1; j++) {
      const row = (i * n1 + j) * n2
      const at = ((i + origin[0]) * site.shape[1] + j + origin[1]) * site.shape[2] + origin[2]
      for (let k = 0; k < n2; k++)
        if (box.data[row + k] === 1 && site.label[at + k] === site.organLabel) count++
    }
  return count
}
