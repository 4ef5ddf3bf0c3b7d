import type { Vec3 } from '../volume/volume.js'
import type { RandomStream } from './random.js'

/** How far a centre must lie from the organ's edge within its slice: a 5x5 square. */
const MARGIN = 2
const DRAWS_BEFORE_COUNTING = 48

/** First and last slice along the third axis that hold the organ; null where there is none. */
export function organSlices(
  label: Uint8Array,
  shape: Vec3,
  organLabel: number,
): readonly [number, number] | null {
  const length = shape[2]
  let first = length
  let last = -1
  let at = label.indexOf(organLabel)
  while (at >= 0 && !(first === 0 && last === length - 1)) {
    const row = at - (at % length)
    if (at - row < first) first = at - row
    let end = row + length - 1
    while (label[end] !== organLabel) end--
    if (end - row > last) last = end - row
    at = label.indexOf(organLabel, row + length)
  }
  return last < 0 ? null : [first, last]
}

/**
 * A centre for a tumor (METHOD 5.3): a slice 0.3 to 0.7 up the organ, in it a uniform organ voxel whose 5x5 neighbourhood is
 * all organ; beyond the crop's faces counts as organ. Other slices are tried when one has no such voxel.
 * @returns null when no slice has one
 */
export function drawCentre(
  label: Uint8Array,
  shape: Vec3,
  organLabel: number,
  slices: readonly [number, number],
  random: RandomStream,
): Vec3 | null {
  const [first, last] = slices
  const wanted = first + Math.round(random.uniformIn(0.3, 0.7) * (last - first))
  const found = drawInSlice(label, shape, organLabel, wanted, random)
  if (found) return found
  for (const at of random.permutation(last - first + 1)) {
    const other = drawInSlice(label, shape, organLabel, first + at, random)
    if (other) return other
  }
  return null
}

/** Drawing organ voxels until one is deep enough is the uniform choice among the deep ones, without eroding anything. */
function drawInSlice(
  label: Uint8Array,
  shape: Vec3,
  organLabel: number,
  slice: number,
  random: RandomStream,
): Vec3 | null {
  const [rows, columns, length] = shape
  const organ: number[] = []
  for (let place = 0, at = slice; place < rows * columns; place++, at += length)
    if (label[at] === organLabel) organ.push(place)
  if (organ.length === 0) return null
  const isDeep = (place: number): boolean => {
    const i = Math.floor(place / columns)
    const j = place % columns
    const [i0, i1] = [Math.max(0, i - MARGIN), Math.min(rows - 1, i + MARGIN)]
    const [j0, j1] = [Math.max(0, j - MARGIN), Math.min(columns - 1, j + MARGIN)]
    for (let row = i0; row <= i1; row++)
      for (let column = j0; column <= j1; column++)
        if (label[(row * columns + column) * length + slice] !== organLabel) return false
    return true
  }
  const voxel = (place: number): Vec3 => [Math.floor(place / columns), place % columns, slice]
  for (let draw = 0; draw < DRAWS_BEFORE_COUNTING; draw++) {
    const place = organ[random.integer(0, organ.length - 1)]!
    if (isDeep(place)) return voxel(place)
  }
  const deep = organ.filter(isDeep)
  return deep.length === 0 ? null : voxel(deep[random.integer(0, deep.length - 1)]!)
}
