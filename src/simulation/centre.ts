import type { Vec3 } from '../volume/volume.js'
import type { RandomStream } from './random.js'
import { scratchInt32 } from './scratch.js'
import type { SliceRange, TumorSite } from './site.js'

// a centre keeps this many organ voxels on every side in its slice: erosion by a square of 5 x 5
const REACH = 2
const MIDDLE = [0.3, 0.7] as const
// a miss costs about 0.1 us, listing the slice 20 us and more
const MAX_REJECTIONS = 128

/**
 * Return the voxel on which a tumor is placed (docs/method.md#53-centre): in a slice of the middle part of
 * the organ along the third axis, uniform over the organ voxels whose 5 x 5 neighbourhood in the slice is
 * organ. Voxels outside the site count as organ. If the slice has no such voxel, the other slices follow,
 * those of the middle part first, in random order. Null if no slice has one.
 */
export function findCentre(site: TumorSite, [first, last]: SliceRange, random: RandomStream): Vec3 | null {
  const slice = first + Math.round(random.uniformIn(...MIDDLE) * (last - first))
  const found = drawInSlice(site, slice, random) ?? pickInSlice(site, slice, random)
  if (found) return found
  for (const other of otherSlices(first, last, slice, random)) {
    const voxel = pickInSlice(site, other, random)
    if (voxel) return voxel
  }
  return null
}

/** Draw voxels of the slice until one may be a centre: uniform over those, and fast unless they are rare. */
function drawInSlice(site: TumorSite, slice: number, random: RandomStream): Vec3 | null {
  const [nx, ny] = site.shape
  for (let attempt = 0; attempt < MAX_REJECTIONS; attempt++) {
    const x = random.integer(0, nx - 1)
    const y = random.integer(0, ny - 1)
    if (mayBeCentre(site, x, y, slice)) return [x, y, slice]
  }
  return null
}

/** Choose among all voxels of the slice that may be a centre: exact if `drawInSlice` finds none. */
function pickInSlice(site: TumorSite, slice: number, random: RandomStream): Vec3 | null {
  const [nx, ny] = site.shape
  const voxels = scratchInt32('centre.voxels', nx * ny)
  let count = 0
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) if (mayBeCentre(site, x, y, slice)) voxels[count++] = x * ny + y
  if (count === 0) return null
  const voxel = voxels[random.integer(0, count - 1)]!
  return [Math.floor(voxel / ny), voxel % ny, slice]
}

function mayBeCentre({ label, shape, organLabel }: TumorSite, x: number, y: number, slice: number): boolean {
  const [nx, ny, nz] = shape
  if (label[(x * ny + y) * nz + slice] !== organLabel) return false
  const [lowY, highY] = [Math.max(0, y - REACH), Math.min(ny - 1, y + REACH)]
  for (let i = Math.max(0, x - REACH); i <= Math.min(nx - 1, x + REACH); i++)
    for (let j = lowY; j <= highY; j++) if (label[(i * ny + j) * nz + slice] !== organLabel) return false
  return true
}

function otherSlices(first: number, last: number, tried: number, random: RandomStream): number[] {
  const [low, high] = MIDDLE.map((share) => first + Math.round(share * (last - first))) as [number, number]
  const slices = random.permutation(last - first + 1).map((at) => first + at)
  const others = slices.filter((slice) => slice !== tried)
  const isMiddle = (slice: number) => slice >= low && slice <= high
  return [...others.filter(isMiddle), ...others.filter((slice) => !isMiddle(slice))]
}
