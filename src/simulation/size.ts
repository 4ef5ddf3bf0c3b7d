import type { Vec3 } from '../volume/volume.js'
import type { RandomStream } from './random.js'

export type SizeClass = 'tiny' | 'small' | 'medium' | 'large'

export const SIZE_CLASSES: readonly SizeClass[] = ['tiny', 'small', 'medium', 'large']

/**
 * Base radius R of each class in voxels of the prepared grid. A tumor's radii lie between 0.75 R and 1.25 R.
 */
export const RADIUS_VOXELS: Readonly<Record<SizeClass, number>> = { tiny: 4, small: 8, medium: 16, large: 32 }

export type SizeOdds = Readonly<Record<SizeClass, number>>

/** Odds of the size classes (docs/method.md#51-size): by region, and for lung nodules. */
export const SIZE_ODDS: Readonly<Record<'abdomen' | 'covid' | 'lungNodules', SizeOdds>> = {
  abdomen: { tiny: 0.25, small: 0.25, medium: 0.25, large: 0.25 },
  covid: { tiny: 0.35, small: 0.35, medium: 0.3, large: 0 },
  lungNodules: { tiny: 0.5, small: 0.5, medium: 0, large: 0 },
}

/** A base radius in voxels, one number or one per axis. */
export type Radius = number | Vec3
/** A base radius, or a function that draws it. */
export type RadiusSource = Radius | ((random: RandomStream) => Radius)

/** Draw a size class by its odds, which need not add up to 1. */
export function drawSize(odds: SizeOdds, random: RandomStream): SizeClass {
  return SIZE_CLASSES[random.pick(SIZE_CLASSES.map((size) => odds[size]))]!
}

/** Return a radius in voxels of each axis of a grid. */
export function radiusVoxelsOf(radiusMm: number, spacingMm: Vec3): Vec3 {
  return [radiusMm / spacingMm[0], radiusMm / spacingMm[1], radiusMm / spacingMm[2]]
}

/**
 * Return the ball of each volume as base radii in voxels of a grid, so that tumors follow a list of volumes,
 * for instance those of a data set's real tumors.
 * @param volumesMl at least one, each above 0
 */
export function radiiOfVolumes(volumesMl: readonly number[], spacingMm: Vec3): readonly Vec3[] {
  if (volumesMl.length === 0 || volumesMl.some((volume) => !(volume > 0 && Number.isFinite(volume))))
    throw new RangeError('tumor volumes: wrong list (expected one or more numbers above 0)')
  return volumesMl.map((volume) => radiusVoxelsOf(Math.cbrt((3000 * volume) / (4 * Math.PI)), spacingMm))
}

/** Return the class whose base radius in voxels is nearest by ratio. */
export function sizeOfRadius(radius: Vec3): SizeClass {
  const mean = Math.cbrt(radius[0] * radius[1] * radius[2])
  const distance = (size: SizeClass) => Math.abs(Math.log(mean / RADIUS_VOXELS[size]))
  return SIZE_CLASSES.reduce((nearest, size) => (distance(size) < distance(nearest) ? size : nearest))
}

/** Return the class of a tumor by its number of voxels, as that of a ball of its volume. */
export function sizeOfVoxels(voxels: number): SizeClass {
  const radius = Math.cbrt((3 * voxels) / (4 * Math.PI))
  return sizeOfRadius([radius, radius, radius])
}

export interface SizeSettings {
  readonly sizeOdds: SizeOdds
  readonly radiusVoxels: Readonly<Record<SizeClass, Radius>>
  /**
   * Base radii; each tumor takes one of them instead of the radius of its class. Null: sizes follow
   * `sizeOdds`.
   */
  readonly listedRadii: readonly Vec3[] | null
}

/**
 * Draw size class and radius of a tumor: a class by its odds with its radius, or a listed radius with the
 * nearest class.
 */
export function drawKind(
  { sizeOdds, radiusVoxels, listedRadii }: SizeSettings,
  random: RandomStream,
): { readonly size: SizeClass; readonly radiusVoxels: Radius } {
  if (listedRadii === null) {
    const size = drawSize(sizeOdds, random)
    return { size, radiusVoxels: radiusVoxels[size] }
  }
  const radius = listedRadii[random.integer(0, listedRadii.length - 1)]!
  return { size: sizeOfRadius(radius), radiusVoxels: radius }
}

/** Return the base radius of one tumor, per axis. */
export function drawBase(source: RadiusSource, random: RandomStream): Vec3 {
  const base = typeof source === 'function' ? source(random) : source
  return typeof base === 'number' ? [base, base, base] : base
}

/** Draw the radii of one tumor: each an integer, uniform on [int(0.75 R), int(1.25 R)], at least 1. */
export function drawRadii(base: Vec3, random: RandomStream): Vec3 {
  return [drawRadius(base[0], random), drawRadius(base[1], random), drawRadius(base[2], random)]
}

/** Return the ratio of a base radius to the radius of its class, per axis; the warps scale by it. */
export function scaleOf(base: Vec3, size: SizeClass): Vec3 {
  const published = RADIUS_VOXELS[size]
  return [base[0] / published, base[1] / published, base[2] / published]
}

/** Draw the standard deviation s of the control values in voxels; the three warps of a tumor share it. */
export function drawWarpSigma(size: SizeClass, random: RandomStream): number {
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

function drawRadius(base: number, random: RandomStream): number {
  if (!(base > 0 && base <= 256))
    throw new RangeError(`tumor radius: wrong radius (expected 0 to 256 voxels, found ${base})`)
  const low = Math.max(1, Math.floor(0.75 * base))
  return random.integer(low, Math.max(low, Math.floor(1.25 * base)))
}
