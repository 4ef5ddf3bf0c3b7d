import { scaled } from '../../volume/nifti.js'
import type { StoredArray } from '../../volume/nifti-arrays.js'
import type { NiftiHeader } from '../../volume/nifti-header.js'

/** A wrong rescale slope: the values are `slope * HU`, or `slope * (HU + 1024) - 1024` if the intercept is right. */
export interface WrongSlope {
  readonly slope: number
  readonly intercept: 'scaled' | 'right'
  /** Value of the peak of air. */
  readonly air: number
  /** Median value of the body. */
  readonly body: number
}

/** A transform of HU to the values of a file. */
interface Rescaling {
  readonly slope: number
  readonly shiftHu: number
}

const SAMPLES = 65_536
const LEAST_SAMPLES = 1000
const INTERCEPT_HU = 1024
/** Air around a patient, with its noise, and as much space on either side. */
const AIR_HU = [-1040, -960] as const
const BELOW_AIR_HU = [-1200, -1120] as const
const ABOVE_AIR_HU = [-900, -820] as const
/** Above gas and lungs. */
const BODY_FROM_HU = -500
const SOFT_TISSUE_HU = [-200, 300] as const
/** The median of a body lies between fat and enhanced organs. */
const BODY_MEDIAN_HU = [-120, 160] as const
const LEAST_AIR_SHARE = 0.01
const LEAST_BODY_SHARE = 0.05
/** The rest of a body is bone, metal and the edges of lungs. */
const LEAST_SOFT_SHARE = 0.75
/** Density of a peak by that next to it. */
const PEAK = 3
/** Padding that resampling blurred has a peak, too, but nearly one value; air has noise. */
const PLATEAU_HU = 3
const MOST_PLATEAU_SHARE = 0.6
const LEAST_NOISE_SLOPE = 0.09
const MOST_BELOW_SHARE = 0.05

/** Slopes to try, 2 % apart. Nearer to 1, tissues and contrast media explain a scan as well. */
const SLOPES = Array.from({ length: 700 }, (_, n) => 0.0005 * 1.02 ** n).filter(
  (slope) => slope < 100 && (slope < 0.6 || slope > 1.5),
)

/**
 * Find a wrong rescale slope by the distance of two peaks: air around the patient (-1000 HU) and soft tissue.
 * Scans without air, or with air of one constant value, have too little evidence: null.
 * @param values as stored; the rescale converts them to HU
 */
export function findWrongSlope(
  values: StoredArray,
  rescale: Pick<NiftiHeader, 'slope' | 'inter'>,
): WrongSlope | null {
  const all = sample(values, rescale)
  const [least, most] = [all[0], all.at(-1)]
  // constant values at the ends are padding or a clip, not tissue
  const inner = all.filter((value) => value !== least && value !== most)
  if (inner.length < LEAST_SAMPLES || isCt(all, { slope: 1, shiftHu: 0 }, 1.5, 0.5)) return null
  return fitting(inner, 0) ?? fitting(inner, INTERCEPT_HU)
}

/** Return sorted finite values, evenly spread over the volume. */
function sample(values: StoredArray, rescale: Pick<NiftiHeader, 'slope' | 'inter'>): Float64Array {
  // odd, so that it shares no factor with the usual sizes of slices
  const step = 2 * Math.floor(values.length / SAMPLES / 2) + 1
  const chosen = values.slice(0, Math.ceil(values.length / step))
  // the element types of source and copy are equal
  for (let n = 0; n < chosen.length; n++) chosen[n] = values[n * step] as never
  return Float64Array.from(scaled(chosen, rescale)).filter(Number.isFinite).sort()
}

/** Return the slope with the largest share of air. */
function fitting(sorted: Float64Array, shiftHu: number): WrongSlope | null {
  const found = SLOPES.map((slope) => ({ slope, shiftHu }))
    .filter((by) => isCt(sorted, by, PEAK, LEAST_SOFT_SHARE) && !isPadded(sorted, by))
    .map((by) => ({ by, share: shareOf(sorted, by, AIR_HU) }))
    .sort((a, b) => b.share - a.share)[0]
  if (!found) return null
  const air = medianOf(between(sorted, found.by, AIR_HU))
  const body = medianOf(between(sorted, found.by, [BODY_FROM_HU, Number.POSITIVE_INFINITY]))
  return {
    slope: shiftHu === 0 ? -air / 1000 : found.by.slope,
    intercept: shiftHu === 0 ? 'scaled' : 'right',
    air,
    body,
  }
}

/** Check that values are those of a CT under a transform: a peak of air, and a body of soft tissue. */
function isCt(sorted: Float64Array, by: Rescaling, peak: number, leastSoft: number): boolean {
  const air = shareOf(sorted, by, AIR_HU)
  const beside = Math.max(shareOf(sorted, by, BELOW_AIR_HU), shareOf(sorted, by, ABOVE_AIR_HU))
  if (air < LEAST_AIR_SHARE || air < peak * beside) return false
  const body = between(sorted, by, [BODY_FROM_HU, Number.POSITIVE_INFINITY])
  if (body.length < LEAST_BODY_SHARE * sorted.length) return false
  const soft = between(sorted, by, SOFT_TISSUE_HU).length / body.length
  const medianHu = medianOf(body) / by.slope + by.shiftHu * (1 / by.slope - 1)
  return soft >= leastSoft && medianHu >= BODY_MEDIAN_HU[0] && medianHu <= BODY_MEDIAN_HU[1]
}

/** Check for values that a CT has only as padding: almost one value instead of air, or many below air. */
function isPadded(sorted: Float64Array, by: Rescaling): boolean {
  if (shareOf(sorted, by, [Number.NEGATIVE_INFINITY, BELOW_AIR_HU[0]]) > MOST_BELOW_SHARE) return true
  // below that slope, rounding to integers makes air one value, too
  if (by.slope < LEAST_NOISE_SLOPE) return false
  const air = between(sorted, by, AIR_HU)
  const [middle, reach] = [medianOf(air), PLATEAU_HU * by.slope]
  return countBelow(air, middle + reach) - countBelow(air, middle - reach) > MOST_PLATEAU_SHARE * air.length
}

function shareOf(sorted: Float64Array, by: Rescaling, range: readonly [number, number]): number {
  return between(sorted, by, range).length / sorted.length
}

/** Return the values of a range in HU. */
function between(sorted: Float64Array, by: Rescaling, [from, to]: readonly [number, number]): Float64Array {
  const stored = (hu: number) => by.slope * (hu + by.shiftHu) - by.shiftHu
  return sorted.subarray(countBelow(sorted, stored(from)), countBelow(sorted, stored(to)))
}

function medianOf(sorted: Float64Array): number {
  return sorted[Math.floor(sorted.length / 2)]!
}

/** Return the number of values below a limit, by bisection. */
function countBelow(sorted: Float64Array, limit: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < limit) low = middle + 1
    else high = middle
  }
  return low
}
