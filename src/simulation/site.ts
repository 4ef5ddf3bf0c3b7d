import type { Vec3 } from '../volume/volume.js'

/** The place of a tumor: a crop, or a whole subvolume, of label ids. */
export interface TumorSite {
  /** C order: the third axis is the fastest. */
  readonly label: Uint8Array
  readonly shape: Vec3
  /** The id of role 1, organ. Every other id is not organ, also real tumors. */
  readonly organLabel: number
  /** The id of the organ's real tumors, which count as organ in depths. Default: none. */
  readonly tumorLabel?: number
}

/** First and last slice along the third axis. */
export type SliceRange = readonly [number, number]

// rows that are searched first, spread over the site: of the other rows only the ends remain
const SPARSE_ROWS = 157

/** Return first and last slice with a voxel of the organ; null if there is none. */
export function organSlices(site: TumorSite): SliceRange | null {
  const { label, shape } = site
  const [rows, length] = [shape[0] * shape[1], shape[2]]
  const range: [number, number] = [length, -1]
  for (let row = 0; row < rows; row += SPARSE_ROWS) widen(range, site, row)
  if (length % 4 === 0 && label.byteOffset % 4 === 0) widenByWords(range, site)
  else for (let row = 0; row < rows; row++) widen(range, site, row)
  return range[1] < 0 ? null : range
}

/** Widen the range to the organ voxels of one row along the third axis. */
function widen(range: [number, number], { label, shape, organLabel }: TumorSite, row: number): void {
  const length = shape[2]
  const start = row * length
  for (let z = 0; z < range[0]; z++) if (label[start + z] === organLabel) range[0] = z
  if (range[0] === length) return
  for (let z = length - 1; z > range[1]; z--) if (label[start + z] === organLabel) range[1] = z
}

const GAPS_AT_ONCE = 8

/**
 * Search the gaps between the last slice of a row in the range and the first slice of the next row: they are
 * adjacent in memory. If a group of gaps is all 0, its rows are skipped. Planning a tiny tumor takes less
 * time than searching all voxels.
 */
function widenByWords(range: [number, number], site: TumorSite): void {
  const { label, shape } = site
  const words = new Int32Array(label.buffer, label.byteOffset, label.length >> 2)
  const rows = shape[0] * shape[1]
  widen(range, site, 0)
  widen(range, site, rows - 1)
  for (let gap = 1; gap < rows; gap += GAPS_AT_ONCE) {
    gap = skipEmptyGaps(words, shape[2] >> 2, range, gap, rows - GAPS_AT_ONCE)
    for (let row = gap - 1; row < Math.min(rows, gap + GAPS_AT_ONCE); row++) widen(range, site, row)
  }
}

/**
 * Return the first group of gaps that is not all 0, as the row after its first gap; or a row beyond `end`.
 */
function skipEmptyGaps(
  words: Int32Array,
  length: number,
  [first, last]: SliceRange,
  gap: number,
  end: number,
): number {
  const back = length - ((last + 1) >> 2)
  const count = back + ((first + 3) >> 2)
  if (count === 0) return end + 1
  // of the words at both ends only the bytes outside the range count; the lowest bytes come first
  const firstMask = -1 << (8 * ((last + 1) & 3))
  const lastMask = -1 >>> (8 * (-first & 3))
  let group = gap
  for (; group <= end; group += GAPS_AT_ONCE) {
    const start = group * length - back
    let any = inEight(words, start, length) & firstMask & (count === 1 ? lastMask : -1)
    for (let word = 1; word < count - 1; word++) any |= inEight(words, start + word, length)
    if (count > 1) any |= inEight(words, start + count - 1, length) & lastMask
    if (any !== 0) break
  }
  return group
}

/** Combine the bits of one word of eight gaps. */
function inEight(words: Int32Array, at: number, length: number): number {
  const low = words[at]! | words[at + length]! | words[at + 2 * length]! | words[at + 3 * length]!
  const from = at + 4 * length
  return low | words[from]! | words[from + length]! | words[from + 2 * length]! | words[from + 3 * length]!
}
