import type { MeasuredSize } from '../config/sections/simulation.js'
import type { OrganName } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { RandomStream } from './random.js'
import { radiusVoxelsOf, type SizeClass, type SizeSettings, sizeOfRadius } from './size.js'

/** Sizes of an organ that are aimed at. */
export interface AimedSizes {
  readonly organ: OrganName
  /** Smoothed miss rate of all tumors of the organ that are aimed at. */
  readonly missRate: number
  readonly bins: readonly AimedBin[]
  readonly spacingMm: Vec3
}

/** Sizes of tumors, some of them aimed at. */
export interface AimedSettings extends SizeSettings {
  /** Null: nothing is aimed at. Organs without an entry follow the other settings. */
  readonly curriculum: readonly AimedSizes[] | null
}

export interface AimedBin {
  readonly fromMm: number
  readonly toMm: number
  readonly probability: number
}

/** A drawn size: a base radius, and the number of voxels that the tumor should have in its organ. */
export interface AimedSize {
  readonly size: SizeClass
  readonly radiusVoxels: Vec3
  readonly voxels: readonly [least: number, most: number]
}

/** Smaller tumors are measured but never aimed at: they have too few voxels. */
const LEAST_MM = 5
const LEAST_VOXELS = 3
/** Upper end of a range without one, relative to its lower end. */
const OPEN_FACTOR = 2
/** Warps and the organ make a tumor about this much smaller than its ellipsoid (docs/method.md#sizes-that-a-segmentor-misses). */
const SHRINKAGE = 1.15
/** A tumor has the drawn diameter if the ratio of both lies below this. */
const TOLERANCE = 1.15

/** Return the posterior mean of the rate of missed tumors with Jeffreys' prior, Beta(1/2, 1/2). */
export function missRate(found: number, missed: number): number {
  return (missed + 0.5) / (found + missed + 1)
}

/** Return the smallest diameter that is aimed at on a grid. */
export function leastDiameterMm(spacingMm: Vec3): number {
  return Math.max(LEAST_MM, LEAST_VOXELS * Math.max(...spacingMm))
}

/**
 * Return the sizes to aim at: a range of diameters has the probability u/n + (1 - u) m / sum(m), with its smoothed miss rate m,
 * n ranges of the organ, and the uniform share u, so that no range vanishes. Organs whose ranges are all too small are left out.
 */
export function aimAt(
  measured: readonly MeasuredSize[],
  uniformShare: number,
  spacingMm: Vec3,
): AimedSizes[] {
  const least = leastDiameterMm(spacingMm)
  const aimed = measured.flatMap(({ organ, diameterMm: [from, to], found, missed }) => {
    const range = { fromMm: Math.max(from, least), toMm: to ?? OPEN_FACTOR * Math.max(from, least) }
    return range.toMm > range.fromMm
      ? [{ ...range, organ, found, missed, rate: missRate(found, missed) }]
      : []
  })
  return [...new Set(aimed.map(({ organ }) => organ))].map((organ) => {
    const own = aimed.filter((one) => one.organ === organ)
    const sum = (of: (one: (typeof own)[number]) => number) => own.reduce((total, one) => total + of(one), 0)
    const rates = sum(({ rate }) => rate)
    const bins = own.map(({ fromMm, toMm, rate }) => {
      const probability = uniformShare / own.length + ((1 - uniformShare) * rate) / rates
      return { fromMm, toMm, probability }
    })
    const all = missRate(
      sum(({ found }) => found),
      sum(({ missed }) => missed),
    )
    return { organ, missRate: all, bins, spacingMm }
  })
}

/** Draw a diameter: a range by its probability, and a uniform diameter in it. */
export function drawAimed({ bins, spacingMm }: AimedSizes, random: RandomStream): AimedSize {
  const { fromMm, toMm } = bins[random.pick(bins.map(({ probability }) => probability))]!
  const mm = random.uniformIn(fromMm, toMm)
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
