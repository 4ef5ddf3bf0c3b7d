import { counted } from '../../plain-text.js'
import { scaled } from '../../volume/nifti.js'
import type { StoredArray } from '../../volume/nifti-arrays.js'
import type { NiftiHeader } from '../../volume/nifti-header.js'
import type { VoxelArray } from '../../volume/volume.js'
import type { RuleFinding } from './finding.js'
import { findWrongSlope, type WrongSlope } from './hu-scale.js'

/** Facts from one pass over an image. Shares refer to the finite voxels. */
export interface ImageFacts {
  readonly nonFinite: number
  readonly min: number
  readonly max: number
  readonly shareAtMin: number
  readonly shareAtMax: number
  /** Below air: values that scanners and resampling write outside their field of view. */
  readonly shareBelowAir: number
  readonly shareAir: number
  readonly shareSoftTissue: number
  /** The range of soft tissue if an intercept of -1024 is lost; otherwise dense bone. */
  readonly shareShifted: number
  /** Beyond any metal: negative values stored without sign. */
  readonly shareWrapped: number
  readonly wrongSlope: WrongSlope | null
}

const BELOW_AIR_HU = -1100
const AIR_HU = -600
const SOFT_TISSUE_HU = [-200, 300] as const
const SHIFTED_HU = [850, 1250] as const
const WRAPPED_HU = 32_767
/** Intensity windows of saved files end below this; clipping by scanners starts above. */
const WINDOW_END_HU = 600
const METAL_HU = 10_000
const LEAST_RANGE_HU = 100

/**
 * Measure an image.
 * @param values as stored; the rescale converts them to HU
 */
export function imageFacts(values: StoredArray, rescale: Rescale): ImageFacts {
  const wrongSlope = findWrongSlope(values, rescale)
  if (values.BYTES_PER_ELEMENT > 2)
    return { ...tally(scaled(values, rescale), null, values.length, NO_RESCALE), wrongSlope }
  // at most 65,536 values: counting them is several times faster than checking every voxel
  const { stored, counts } = histogram(values as Int16Array)
  return { ...tally(stored, counts, values.length, rescale), wrongSlope }
}

type Rescale = Pick<NiftiHeader, 'slope' | 'inter'>
const NO_RESCALE: Rescale = { slope: 1, inter: 0 }

/** Count the occurrences of each stored value. */
function histogram(values: Int8Array | Uint8Array | Int16Array | Uint16Array) {
  const { buffer, byteOffset, length } = values
  const wide = values.BYTES_PER_ELEMENT === 2
  const bits = wide ? new Uint16Array(buffer, byteOffset, length) : new Uint8Array(buffer, byteOffset, length)
  const size = wide ? 65_536 : 256
  // neighbours are often equal: with one table, each count would wait for the previous one
  const [even, odd] = [new Uint32Array(size), new Uint32Array(size)]
  for (let n = 0; n + 1 < length; n += 2) {
    even[bits[n]!]!++
    odd[bits[n + 1]!]!++
  }
  if (length % 2 === 1) even[bits[length - 1]!]!++
  // the value of each bit pattern, in the type of the file
  const stored = new (values.constructor as Int16ArrayConstructor)(size)
  for (let pattern = 0; pattern < size; pattern++) stored[pattern] = pattern
  return { stored, counts: even.map((count, pattern) => count + odd[pattern]!) }
}

/**
 * Measure values with their counts.
 * @param counts of each value; null: each occurs once
 */
function tally(
  values: VoxelArray,
  counts: Uint32Array | null,
  voxels: number,
  { slope, inter }: Rescale,
): Omit<ImageFacts, 'wrongSlope'> {
  let [min, max, atMin, atMax, finite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0]
  let [belowAir, air, softTissue, shifted, wrapped] = [0, 0, 0, 0, 0]
  for (let n = 0; n < values.length; n++) {
    const hu = values[n]! * slope + inter
    const count = counts === null ? 1 : counts[n]!
    if (count === 0 || !Number.isFinite(hu)) continue
    finite += count
    if (hu < min) [min, atMin] = [hu, 0]
    if (hu > max) [max, atMax] = [hu, 0]
    if (hu === min) atMin += count
    if (hu === max) atMax += count
    if (hu < BELOW_AIR_HU) belowAir += count
    else if (hu < AIR_HU) air += count
    else if (hu >= SOFT_TISSUE_HU[0] && hu <= SOFT_TISSUE_HU[1]) softTissue += count
    else if (hu >= SHIFTED_HU[0] && hu <= SHIFTED_HU[1]) shifted += count
    else if (hu > WRAPPED_HU) wrapped += count
  }
  const share = (count: number) => (finite === 0 ? 0 : count / finite)
  return {
    nonFinite: voxels - finite,
    min,
    max,
    shareAtMin: share(atMin),
    shareAtMax: share(atMax),
    shareBelowAir: share(belowAir),
    shareAir: share(air),
    shareSoftTissue: share(softTissue),
    shareShifted: share(shifted),
    shareWrapped: share(wrapped),
  }
}

/** Check that the values are HU of a CT, and name the fault otherwise. */
export function imageFindings(facts: ImageFacts): RuleFinding[] {
  const findings: RuleFinding[] = []
  if (facts.nonFinite > 0)
    findings.push({
      rule: 'non-finite',
      severity: 'error',
      message: `${counted(facts.nonFinite, 'voxel', ['is', 'are'])} NaN or infinite`,
      fix: 'write the file again from its source, with a finite padding value',
    })
  const scale = scaleFinding(facts)
  if (scale) return [...findings, scale]
  if (facts.shareBelowAir > 1e-3)
    findings.push({
      rule: 'padding',
      severity: 'info',
      message: `${percent(facts.shareBelowAir)} of the voxels are padding below air, down to ${facts.min} HU`,
      fix: 'nothing: the intensity window clips them',
    })
  if (facts.max > METAL_HU)
    findings.push({
      rule: 'hu-range',
      severity: 'warning',
      message: `values above those of metal (found up to ${facts.max} HU)`,
      fix: 'compare the rescale slope and intercept with the source',
    })
  if (facts.shareSoftTissue < 0.02)
    findings.push({
      rule: 'no-soft-tissue',
      severity: 'warning',
      message: `only ${percent(facts.shareSoftTissue)} of the voxels are soft tissue (${SOFT_TISSUE_HU.join(' to ')} HU)`,
      fix: 'compare the rescale with the source: this may not be a CT in HU',
    })
  return findings
}

/** Return the fault of the scale as a whole; null for HU. */
function scaleFinding(facts: ImageFacts): RuleFinding | null {
  const { min, max } = facts
  const range = `values ${Number(min.toPrecision(6))} to ${Number(max.toPrecision(6))}`
  if (!(max > min))
    return error('constant', `every voxel is ${min}`, 'fetch the image again: it has no content')
  if (facts.shareWrapped > 1e-4)
    return error(
      'hu-wrapped',
      `${range}: ${percent(facts.shareWrapped)} of the voxels are negative HU stored without sign`,
      'convert it again to a signed type',
    )
  if (facts.wrongSlope) return slopeFinding(facts.wrongSlope, range)
  if (min >= 0 && max <= 255)
    return error('windowed', `${range}: a windowed picture or a label map, not HU`, 'take the original scan')
  // the noise of a scanner alone spans more
  if (max - min < LEAST_RANGE_HU)
    return error('windowed', `${range}: normalised numbers, not HU`, 'take the original scan')
  if (max <= WINDOW_END_HU && (facts.shareAtMax > 1e-3 || (min > AIR_HU && facts.shareAtMin > 0.01)))
    return error(
      'windowed',
      `${range}, ${percent(facts.shareAtMax)} at the upper end and ${percent(facts.shareAtMin)} at the lower: clipped to an intensity window`,
      'take the original scan',
    )
  if (min >= 0 || (facts.shareAir < 1e-3 && facts.shareShifted > 0.1))
    return error(
      'rescale-lost',
      `${range} without air near -1000: the rescale intercept was lost (or this is not a CT)`,
      'convert the file again with the rescale of its scanner, usually -1024',
    )
  return null
}

function slopeFinding({ slope, intercept, air, body }: WrongSlope, range: string): RuleFinding {
  const factor = Number(slope.toPrecision(intercept === 'scaled' ? 3 : 1))
  return error(
    'hu-scaled',
    `${range}: HU times about ${factor} (expected air near -1000 and soft tissue near 50, found ${short(air)} and ${short(body)})`,
    `correct scl_slope: divide it by about ${factor}; or convert the DICOM series again`,
  )
}

function short(value: number): number {
  return Number(value.toPrecision(3))
}

function error(rule: RuleFinding['rule'], message: string, fix: string): RuleFinding {
  return { rule, severity: 'error', message, fix }
}

function percent(share: number): string {
  return `${Number((100 * share).toPrecision(2))} %`
}
