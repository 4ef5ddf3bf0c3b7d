import { spacingOf, worldAxes } from '../../volume/geometry.js'
import type { StoredVoxels } from '../../volume/nifti.js'
import type { StoredArray } from '../../volume/nifti-arrays.js'
import type { Vec3 } from '../../volume/volume.js'

/** Settings of `prepare` that decide the size of a prepared scan. */
export interface PreparedGrid {
  readonly spacingMm: Vec3
  /** Lower end of the intensity window: scans are cropped to the voxels above it. */
  readonly lowerHu: number
}

type Image = Pick<StoredVoxels, 'header' | 'values'>
/** First and last index. */
type Range = readonly [number, number]

/**
 * Return the voxels of a scan along right, anterior and superior after `prepare`: resampled by linear
 * interpolation, then cropped to the voxels above the intensity window. Shear is neglected.
 */
export function preparedSize(image: Image, { spacingMm, lowerHu }: PreparedGrid): Vec3 {
  const { shape, affine } = image.header
  const axes = worldAxes(affine)
  const spacing = spacingOf(affine)
  const box = boxAbove(image, lowerHu)
  const places = axes.map(({ axis, sign }, at) =>
    placesAlong(shape[at]!, spacingMm[axis]! / spacing[at]!, sign < 0),
  )
  const size: [number, number, number] = [0, 0, 0]
  for (const [at, { axis }] of axes.entries())
    size[axis] = box ? extentAbove(image, places, box, at, lowerHu) : places[at]!.length
  return size
}

/** Return the positions of resampled voxels in voxels of the source; MONAI's `Spacing` keeps the first voxel. */
function placesAlong(voxels: number, step: number, reversed: boolean): number[] {
  const count = roundToEven((voxels - 1) / step + 1)
  return Array.from({ length: count }, (_, n) => {
    const place = Math.min(n * step, voxels - 1)
    return reversed ? voxels - 1 - place : place
  })
}

/** Round to the nearest integer; a half goes to the even one, as in NumPy. */
function roundToEven(value: number): number {
  const below = Math.floor(value)
  return value - below === 0.5 ? below + (below % 2) : Math.round(value)
}

/** Return the source voxels above a value as a range of each axis; null if there are none. */
function boxAbove({ header, values }: Image, lowerHu: number): readonly Range[] | null {
  const [nx, ny, nz] = header.shape
  const isAbove = (n: number) => read(values, n) * header.slope + header.inter > lowerHu
  const [low, high] = [
    [nx, ny, nz],
    [-1, -1, -1],
  ] as [number[], number[]]
  for (let z = 0; z < nz; z++)
    for (let y = 0; y < ny; y++) {
      const row = (z * ny + y) * nx
      let x = 0
      while (x < nx && !isAbove(row + x)) x++
      if (x === nx) continue
      let last = nx - 1
      while (last > high[0]! && !isAbove(row + last)) last--
      for (const [axis, [from, to]] of [[x, last] as const, [y, y] as const, [z, z] as const].entries()) {
        low[axis] = Math.min(low[axis]!, from)
        high[axis] = Math.max(high[axis]!, to)
      }
    }
  return high[0]! < 0 ? null : low.map((from, axis) => [from, high[axis]!] as const)
}

/** Return the number of resampled voxels along one axis from the first to the last plane with a voxel above a value. */
function extentAbove(
  image: Image,
  places: readonly (readonly number[])[],
  box: readonly Range[],
  along: number,
  lowerHu: number,
): number {
  // only voxels within one source voxel of the box can be above
  const near = places.map((line, axis) =>
    line.filter((place) => place > box[axis]![0] - 1 && place < box[axis]![1] + 1),
  )
  const plane = (place: number) => near.map((line, axis) => (axis === along ? [place] : line))
  const line = near[along]!
  const first = line.findIndex((place) => hasAbove(image, plane(place), lowerHu))
  const last = line.findLastIndex((place) => hasAbove(image, plane(place), lowerHu))
  return last - first + 1
}

/** Check a block of resampled voxels for a value above a limit. */
function hasAbove(
  { header, values }: Image,
  [xs, ys, zs]: readonly (readonly number[])[],
  lowerHu: number,
): boolean {
  const { shape, slope, inter } = header
  const between = (a: number, b: number, share: number) => a + (b - a) * share
  for (const z of zs!)
    for (const y of ys!) {
      const [top, bottom] = neighbours(z, shape[2]).map((plane) =>
        neighbours(y, shape[1]).map((row) => (plane * shape[1] + row) * shape[0]),
      ) as [[number, number], [number, number]]
      for (const x of xs!) {
        const [left, right] = neighbours(x, shape[0])
        const along = (row: number) => between(read(values, row + left), read(values, row + right), x - left)
        const value = between(
          between(along(top[0]), along(top[1]), y % 1),
          between(along(bottom[0]), along(bottom[1]), y % 1),
          z % 1,
        )
        if (value * slope + inter > lowerHu) return true
      }
    }
  return false
}

function neighbours(place: number, voxels: number): [number, number] {
  const first = Math.floor(place)
  return [first, Math.min(first + 1, voxels - 1)]
}

function read(values: StoredArray, at: number): number {
  return Number(values[at])
}
