import type { Vec3 } from '../volume/volume.js'
import type { StudyGrid } from './crop.js'

/** Names of the cues that the robot reader measures, with their units. Each is one number of one volume. */
export const CUES = {
  'noise level in the plane': 'HU',
  'noise level between slices': 'HU',
  'resampling spectrum in the plane': '',
  'resampling spectrum between slices': '',
  'HU range, low end': 'HU',
  'HU range, high end': 'HU',
  'HU of the organ': 'HU',
  'HU step': '',
  'padding with zeros': '',
  'padding with one value': '',
  'table or objects behind the body': '',
  'position of the tumor in the crop': 'mm',
} as const

export type CueName = keyof typeof CUES

/** Margin around tumors that the robot does not see: a painted tumor changes nothing beyond it. */
export const MARGIN_MM = 10
/** HU of soft tissue. */
const TISSUE = { low: -150, high: 250 } as const
const AIR_HU = -500

/**
 * Return the cues of a volume. Tumors and their margin are left out, so that a tumor which does not look real is no cue.
 * @param voxels HU, the first axis is the fastest
 * @param tumors mask of all tumors in the volume
 * @param organ mask of the organ of the case, without tumors
 * @param lesionMm middle of the tumor; the middle of the crop is 0 0 0
 */
export function cuesOf(
  voxels: Int16Array,
  tumors: Uint8Array,
  organ: Uint8Array,
  { shape, spacingMm }: StudyGrid,
  lesionMm: Vec3,
): Record<CueName, number> {
  const hidden = widened(tumors, shape, Math.ceil(MARGIN_MM / spacingMm))
  const strides: Vec3 = [1, shape[0], shape[0] * shape[1]]
  const [x, y, z] = [0, 1, 2].map((axis) => alongAxis(voxels, hidden, shape, strides, axis)) as [
    Steps,
    Steps,
    Steps,
  ]
  const plane = joined(x, y)
  const whole = wholeVolume(voxels, hidden, shape, strides)
  return {
    'noise level in the plane': quantile(plane.single, 0.5),
    'noise level between slices': quantile(z.single, 0.5),
    'resampling spectrum in the plane': plane.squared[0] / Math.max(1, plane.squared[1]),
    'resampling spectrum between slices': z.squared[0] / Math.max(1, z.squared[1]),
    ...whole,
    'HU of the organ': organHu(voxels, organ, hidden, tumors),
    'table or objects behind the body': behindBody(voxels, hidden, shape, strides, spacingMm),
    'position of the tumor in the crop': Math.hypot(...lesionMm),
  }
}

/** Differences of neighbours in soft tissue along an axis. */
interface Steps {
  /** Counts of absolute differences in HU. */
  readonly single: Float64Array
  /** Sums of squared differences at a distance of one and of two voxels. */
  readonly squared: [number, number]
}

const LONGEST_STEP = 400

function alongAxis(voxels: Int16Array, hidden: Uint8Array, shape: Vec3, strides: Vec3, axis: number): Steps {
  const single = new Float64Array(LONGEST_STEP + 1)
  const squared: [number, number] = [0, 0]
  const stride = strides[axis]!
  const isTissue = (at: number): boolean =>
    hidden[at] === 0 && voxels[at]! >= TISSUE.low && voxels[at]! <= TISSUE.high
  const last: [number, number, number] = [...shape]
  last[axis]! -= 2
  for (let k = 0; k < last[2]; k++)
    for (let j = 0; j < last[1]; j++)
      for (let i = 0; i < last[0]; i++) {
        const at = i + shape[0] * (j + shape[1] * k)
        if (!isTissue(at) || !isTissue(at + stride) || !isTissue(at + 2 * stride)) continue
        const one = Math.abs(voxels[at + stride]! - voxels[at]!)
        single[Math.min(LONGEST_STEP, one)]!++
        squared[0] += one * one
        squared[1] += (voxels[at + 2 * stride]! - voxels[at]!) ** 2
      }
  return { single, squared }
}

function joined(a: Steps, b: Steps): Steps {
  return {
    single: a.single.map((count, at) => count + b.single[at]!),
    squared: [a.squared[0] + b.squared[0], a.squared[1] + b.squared[1]],
  }
}

/** Return a quantile of counted whole numbers, spread evenly within a number; 0 without a count. */
function quantile(counts: Float64Array, share: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0)
  let below = 0
  for (const [value, count] of counts.entries()) {
    if (count > 0 && below + count >= share * total) return value - 0.5 + (share * total - below) / count
    below += count
  }
  return 0
}

/** Fewer voxels of an organ beyond the margin of tumors give no median. */
const LEAST_ORGAN_VOXELS = 100

/**
 * Return the median HU of the organ. The median of all soft tissue would depend on the organs in the crop, and so on the place of
 * the tumor.
 */
function organHu(voxels: Int16Array, organ: Uint8Array, hidden: Uint8Array, tumors: Uint8Array): number {
  const medianOutside = (mask: Uint8Array): number | null => {
    const values = voxels.filter((_, at) => organ[at] === 1 && mask[at] === 0).sort()
    return values.length < LEAST_ORGAN_VOXELS ? null : values[values.length >> 1]!
  }
  return medianOutside(hidden) ?? medianOutside(tumors) ?? 0
}

type WholeCues = Pick<
  Record<CueName, number>,
  'HU range, low end' | 'HU range, high end' | 'HU step' | 'padding with zeros' | 'padding with one value'
>

function wholeVolume(voxels: Int16Array, hidden: Uint8Array, shape: Vec3, strides: Vec3): WholeCues {
  let [low, high, seen, zeros, flat, odd, tissue] = [Infinity, -Infinity, 0, 0, 0, 0, 0]
  for (let k = 0, at = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, at++) {
        if (hidden[at] !== 0) continue
        const value = voxels[at]!
        seen++
        low = Math.min(low, value)
        high = Math.max(high, value)
        if (value === 0) zeros++
        const isInner = i + 1 < shape[0] && j + 1 < shape[1] && k + 1 < shape[2]
        if (isInner && strides.every((stride) => voxels[at + stride] === value)) flat++
        if (value < TISSUE.low || value > TISSUE.high) continue
        tissue++
        odd += Math.abs(value % 2)
      }
  return {
    'HU range, low end': seen === 0 ? 0 : low,
    'HU range, high end': seen === 0 ? 0 : high,
    'HU step': odd / Math.max(1, tissue),
    'padding with zeros': zeros / Math.max(1, seen),
    'padding with one value': flat / Math.max(1, seen),
  }
}

/**
 * Return the fraction of rays from the back to the front with an object, then at least 5 mm of air, then at least 30 mm of
 * body: a table, a cushion or a tube lies behind the body.
 */
function behindBody(
  voxels: Int16Array,
  hidden: Uint8Array,
  shape: Vec3,
  strides: Vec3,
  spacingMm: number,
): number {
  const [gap, body] = [Math.ceil(5 / spacingMm), Math.ceil(30 / spacingMm)]
  let found = 0
  for (let k = 0; k < shape[2]; k++)
    for (let i = 0; i < shape[0]; i++) {
      let [object, air, run] = [0, 0, 0]
      for (let j = 0; j < shape[1]; j++) {
        const at = i + j * strides[1] + k * strides[2]
        const isDense = voxels[at]! > AIR_HU && hidden[at] === 0
        if (isDense && air < gap) {
          object++
          air = 0
        } else if (isDense) run++
        else if (object > 0) {
          air++
          run = 0
        }
        if (run >= body) {
          found++
          break
        }
        // the body itself starts at the back of the crop
        if (object > body) break
      }
    }
  return found / (shape[0] * shape[2])
}

/** Return a mask widened by a number of voxels along each axis. */
function widened(mask: Uint8Array, shape: Vec3, by: number): Uint8Array {
  let from = mask
  for (const [axis, stride] of [1, shape[0], shape[0] * shape[1]].entries()) {
    const to = new Uint8Array(from.length)
    for (let at = 0; at < from.length; at++) {
      if (from[at] === 0) continue
      const place = Math.floor(at / stride) % shape[axis]!
      const [low, high] = [Math.max(-by, -place), Math.min(by, shape[axis]! - 1 - place)]
      for (let step = low; step <= high; step++) to[at + step * stride] = 1
    }
    from = to
  }
  return from
}
