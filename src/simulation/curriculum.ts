import type { MeasuredRange } from '../config/sections/simulation.js'
import type { OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { DepthRange } from './depth.js'
import type { RandomStream } from './random.js'
import { radiusVoxelsOf, type SizeClass, type SizeSettings, sizeOfRadius } from './size.js'

/** Tumors of an organ that are aimed at. A list of ranges without an entry is not aimed at. */
export interface AimedOrgan {
  readonly organ: OrganName
  /** Smoothed miss rate of all tumors of the organ that are aimed at. */
  readonly missRate: number
  readonly diametersMm: readonly AimedRange[]
  readonly depthsMm: readonly AimedRange[]
  readonly contrastsHu: readonly AimedRange[]
  readonly grid: AimedGrid
}

/** Facts of the prepared grid. */
export interface AimedGrid {
  readonly spacingMm: Vec3
  /** The intensity window, which painting has as its unit. */
  readonly windowHu: readonly [number, number]
}

/** Sizes of tumors, some of them aimed at. */
export interface AimedSettings extends SizeSettings {
  /** Null: nothing is aimed at. Organs without an entry follow the other settings. */
  readonly curriculum: readonly AimedOrgan[] | null
}

export interface AimedRange {
  readonly from: number
  readonly to: number
  readonly probability: number
}

/** A drawn size: a base radius, and the number of voxels that the tumor should have in its organ. */
export interface AimedSize {
  readonly size: SizeClass
  readonly radiusVoxels: Vec3
  readonly voxels: readonly [least: number, most: number]
}

/** Drawn depth and contrast of a tumor; each is missing unless it is aimed at. */
export interface AimedLook {
  readonly depth?: DepthRange
  readonly contrast?: {
    readonly hu: number
    /** Mean over the tumor of the change that painting makes, in the intensity window: above 0 is the region's direction. */
    readonly change: number
  }
}

/** Smaller tumors are measured but never aimed at: they have too few voxels. */
const LEAST_MM = 5
const LEAST_VOXELS = 3
/** Open end of a range, relative to its other end. */
const OPEN_FACTOR = 2
/** Warps and the organ make a tumor about this much smaller than its ellipsoid (docs/method.md#sizes-that-a-segmentor-misses). */
const SHRINKAGE = 1.15
/** A tumor has the drawn diameter if the ratio of both lies below this. */
const TOLERANCE = 1.15
/** Organs in which painting makes brighter; in others it makes darker (docs/method.md#6-painting). */
const BRIGHTER: ReadonlySet<OrganName> = new Set(['lung'])

/** Return the posterior mean of the rate of missed tumors with Jeffreys' prior, Beta(1/2, 1/2). */
export function missRate(found: number, missed: number): number {
  return (missed + 0.5) / (found + missed + 1)
}

/** Return the smallest diameter that is aimed at on a grid. */
export function leastDiameterMm(spacingMm: Vec3): number {
  return Math.max(LEAST_MM, LEAST_VOXELS * Math.max(...spacingMm))
}

/**
 * Return the tumors to aim at, by organ. Diameters, depths and contrasts have ranges of their own: a range has the probability
 * u/n + (1 - u) m / sum(m), with its smoothed miss rate m, n ranges of its kind and organ, and the uniform share u, so that no
 * range vanishes. Ranges of too small tumors are left out. The miss rate of an organ is that of its diameters, else depths,
 * else contrasts: each kind counts the same tumors.
 */
export function aimAt(
  measured: readonly MeasuredRange[],
  uniformShare: number,
  grid: AimedGrid,
): AimedOrgan[] {
  const least = leastDiameterMm(grid.spacingMm)
  return [...new Set(measured.map(({ organ }) => organ))].flatMap((organ) => {
    const own = measured.filter((one) => one.organ === organ)
    const kinds = [
      own.flatMap((one) =>
        one.diameterMm ? rangeOf(one, [Math.max(one.diameterMm[0], least), one.diameterMm[1]]) : [],
      ),
      own.flatMap((one) => (one.depthMm ? rangeOf(one, one.depthMm) : [])),
      own.flatMap((one) => (one.contrastHu ? rangeOf(one, one.contrastHu) : [])),
    ] as const
    const counted = kinds.find((ranges) => ranges.length > 0)
    if (counted === undefined) return []
    const all = missRate(
      counted.reduce((total, { found }) => total + found, 0),
      counted.reduce((total, { missed }) => total + missed, 0),
    )
    const [diametersMm, depthsMm, contrastsHu] = kinds.map((ranges) => withProbability(ranges, uniformShare))
    return [
      {
        organ,
        missRate: all,
        diametersMm: diametersMm!,
        depthsMm: depthsMm!,
        contrastsHu: contrastsHu!,
        grid,
      },
    ]
  })
}

type CountedRange = Pick<MeasuredRange, 'found' | 'missed'> & { readonly from: number; readonly to: number }

/** Close the open end of a range; none if nothing is left of it. */
function rangeOf(
  { found, missed }: MeasuredRange,
  ends: readonly [number | null, number | null],
): CountedRange[] {
  const from = ends[0] ?? OPEN_FACTOR * ends[1]!
  const to = ends[1] ?? OPEN_FACTOR * from
  return to > from ? [{ from, to, found, missed }] : []
}

function withProbability(ranges: readonly CountedRange[], uniformShare: number): AimedRange[] {
  const rates = ranges.map(({ found, missed }) => missRate(found, missed))
  const sum = rates.reduce((total, rate) => total + rate, 0)
  return ranges.map(({ from, to }, at) => {
    const probability = uniformShare / ranges.length + ((1 - uniformShare) * rates[at]!) / sum
    return { from, to, probability }
  })
}

/** Draw a diameter: a range by its probability, and a uniform diameter in it. Null if no diameter is aimed at. */
export function drawAimedSize({ diametersMm, grid }: AimedOrgan, random: RandomStream): AimedSize | null {
  const { spacingMm } = grid
  const range = drawRange(diametersMm, random)
  if (range === null) return null
  const mm = random.uniformIn(range.from, range.to)
  const radiusVoxels = radiusVoxelsOf((SHRINKAGE * mm) / 2, spacingMm)
  const voxelsOf = (diameter: number) =>
    ((Math.PI / 6) * diameter ** 3) / (spacingMm[0] * spacingMm[1] * spacingMm[2])
  const least = Math.max(leastDiameterMm(spacingMm), mm / TOLERANCE)
  return {
    size: sizeOfRadius(radiusVoxels),
    radiusVoxels,
    voxels: [voxelsOf(least), voxelsOf(mm * TOLERANCE)],
  }
}

/** Draw a range of depths, and a contrast: a range by its probability, and a uniform contrast in it. */
export function drawAimedLook(
  { organ, depthsMm, contrastsHu, grid }: AimedOrgan,
  random: RandomStream,
): AimedLook {
  const depth = drawRange(depthsMm, random)
  const range = drawRange(contrastsHu, random)
  const hu = range && random.uniformIn(range.from, range.to)
  const unitHu = (BRIGHTER.has(organ) ? 1 : -1) * (grid.windowHu[1] - grid.windowHu[0])
  return {
    ...(depth && { depth: { fromMm: depth.from, toMm: depth.to, spacingMm: grid.spacingMm } }),
    ...(hu !== null && { contrast: { hu, change: hu / unitHu } }),
  }
}

function drawRange(ranges: readonly AimedRange[], random: RandomStream): AimedRange | null {
  return ranges.length === 0 ? null : ranges[random.pick(ranges.map(({ probability }) => probability))]!
}
