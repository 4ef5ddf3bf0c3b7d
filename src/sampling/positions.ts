import { applyAffine, invertAffine } from '../volume/geometry.js'
import type { Affine, Vec3 } from '../volume/volume.js'
import type { ListedPosition } from './sampling-plan.js'
import type { WantedCentre } from './tumors.js'

/** Return the positions of a list for one case as voxels of its prepared grid; null if the list has none. */
export function positionsOf(
  caseId: string,
  positions: readonly ListedPosition[] | null,
  affine: Affine,
): readonly WantedCentre[] | null {
  const own = positions?.filter((position) => position.case === caseId) ?? []
  if (own.length === 0) return null
  const toVoxel = invertAffine(affine)
  return own.map(({ mm, organ }) => ({
    voxel: applyAffine(toVoxel, mm).map(Math.round) as unknown as Vec3,
    organ,
  }))
}

/** Return the centres that lie in a box of the case, as voxels of the box. */
export function centresWithin(centres: readonly WantedCentre[], start: Vec3, shape: Vec3): WantedCentre[] {
  return centres
    .map(({ voxel, organ }) => ({
      voxel: voxel.map((at, axis) => at - start[axis]!) as unknown as Vec3,
      organ,
    }))
    .filter(({ voxel }) => voxel.every((at, axis) => at >= 0 && at < shape[axis]!))
}
