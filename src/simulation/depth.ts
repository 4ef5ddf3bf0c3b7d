import { IGNORED_LABEL } from '../volume/labels.js'
import type { Vec3 } from '../volume/volume.js'
import type { RandomStream } from './random.js'
import { scratchInt32 } from './scratch.js'
import type { TumorSite } from './site.js'

/** Depths in an organ at which a centre is wanted. */
export interface DepthRange {
  readonly fromMm: number
  readonly toMm: number
  readonly spacingMm: Vec3
}

/** A range with 2 % of the organ is found with probability 0.98. */
const MAX_DRAWS = 200

/**
 * Draw an organ voxel in a range of depths, uniform over those whose depth the site shows (docs/method.md#places-and-contrasts-that-a-segmentor-misses).
 * Null if 200 drawn voxels of the organ have another depth.
 */
export function findCentreAtDepth(site: TumorSite, range: DepthRange, random: RandomStream): Vec3 | null {
  const { label, shape, organLabel } = site
  const voxels = scratchInt32('depth.voxels', label.length)
  let count = 0
  for (let at = 0; at < label.length; at++) if (label[at] === organLabel) voxels[count++] = at
  if (count === 0) return null
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const at = voxels[random.integer(0, count - 1)]!
    const row = Math.floor(at / shape[2])
    const voxel = [Math.floor(row / shape[1]), row % shape[1], at % shape[2]] as const
    const depth = depthMm(site, voxel, range)
    if (depth !== null && depth >= range.fromMm && depth < range.toMm) return voxel
  }
  return null
}

/**
 * Return the distance (mm) of a voxel to the nearest one outside the organ and its tumors, between their centres. Ignored voxels are
 * not outside. Null if it is `toMm` or more, or if a voxel beyond the site may be nearer.
 */
export function depthMm(
  { label, shape, organLabel, tumorLabel }: TumorSite,
  [x, y, z]: Vec3,
  { toMm, spacingMm: [sx, sy, sz] }: Pick<DepthRange, 'toMm' | 'spacingMm'>,
): number | null {
  const [nx, ny, nz] = shape
  const beyond = Math.min(
    (x + 1) * sx,
    (nx - x) * sx,
    (y + 1) * sy,
    (ny - y) * sy,
    (z + 1) * sz,
    (nz - z) * sz,
  )
  const isOutside = (at: number) => {
    const id = label[at]!
    return id !== organLabel && id !== tumorLabel && id !== IGNORED_LABEL
  }
  // squared; voxels beyond the site count as outside, and make the depth unknown if they are nearest
  let nearest = Math.min(beyond, toMm) ** 2
  const smallest = Math.min(sx, sy, sz)
  // cubes of growing size; only their faces are new
  for (let reach = 0; (reach * smallest) ** 2 < nearest; reach++)
    for (let i = -reach; i <= reach; i++) {
      if ((i * sx) ** 2 >= nearest) continue
      for (let j = -reach; j <= reach; j++) {
        const flat = (i * sx) ** 2 + (j * sy) ** 2
        if (flat >= nearest) continue
        const step = Math.abs(i) === reach || Math.abs(j) === reach || reach === 0 ? 1 : 2 * reach
        for (let k = -reach; k <= reach; k += step) {
          const distance = flat + (k * sz) ** 2
          // any voxel that is nearer than those beyond the site lies in it
          if (distance < nearest && isOutside(((x + i) * ny + y + j) * nz + z + k)) nearest = distance
        }
      }
    }
  return nearest < Math.min(beyond, toMm) ** 2 ? Math.sqrt(nearest) : null
}
