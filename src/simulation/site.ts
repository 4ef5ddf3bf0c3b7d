import type { Vec3 } from '../volume/volume.js'

/** Where a tumor may go: a crop, or a whole region, of label ids. */
export interface TumorSite {
  /** C order: the third axis is the fastest. */
  readonly label: Uint8Array
  readonly shape: Vec3
  /** The id that is role 1, organ. Every other id is not, real tumors included. */
  readonly organLabel: number
}

/** First and last slice along the third axis. */
export type SliceRange = readonly [number, number]

/** First and last slice with a voxel of the organ; null when there is none. */
export function organSlices(site: TumorSite): SliceRange | null {
  const { label, shape } = site
  const [rows, length] = [shape[0] * shape[1], shape[2]]
  const range: [number, number] = [length, -1]
  // A few rows all over the site first: then of most rows only the ends are left to look at.
  for (let row = 0; row < rows; row += SPARSE_ROWS) widen(range, site, row)
  if (length % 4 === 0 && label.byteOffset % 4 === 0) widenByWords(range, site)
  else for (let row = 0; row < rows; row++) widen(range, site, row)
  return range[1] < 0 ? null : range
}

const SPARSE_ROWS = 61

/** Widens the range to the organ voxels of one row along the third axis. */
function widen(range: [number, number], { label, shape, organLabel }: TumorSite, row: number): void {
  const length = shape[2]
  const start = row * length
  for (let z = 0; z < range[0]; z++) if (label[start + z] === organLabel) range[0] = z
  if (range[0] === length) return
  for (let z = length - 1; z > range[1]; z--) if (label[start + z] === organLabel) range[1] = z
}

/**
 * The end of a row and the start of the next lie side by side; where four voxels at a time all are 0 nothing needs a closer
 * look. (A tiny tumor is planned in less time than a search of all voxels takes.)
 */
function widenByWords(range: [number, number], site: TumorSite): void {
  const { label, shape } = site
  const words = new Int32Array(label.buffer, label.byteOffset, label.length >> 2)
  const [rows, length] = [shape[0] * shape[1], shape[2] >> 2]
  let [back, ahead] = [length - ((range[1] + 1) >> 2), (range[0] + 3) >> 2]
  for (let row = 0; row <= rows; row++) {
    const from = row === 0 ? 0 : row * length - back
    const to = row === rows ? rows * length : row * length + ahead
    let any = 0
    for (let at = from; at < to; at++) any |= words[at]!
    if (any === 0) continue
    if (row > 0) widen(range, site, row - 1)
    if (row < rows) widen(range, site, row)
    back = length - ((range[1] + 1) >> 2)
    ahead = (range[0] + 3) >> 2
    if (range[0] === 0 && range[1] === shape[2] - 1) return
  }
}
