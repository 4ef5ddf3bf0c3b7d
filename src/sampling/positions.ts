import { applyAffine, invertAffine } from '../volume/geometry.js'
import type { Affine, Vec3 } from '../volume/volume.js'
import type { HardNegative, ListedPosition } from './sampling-plan.js'
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

/** A false positive as a voxel of the prepared grid. */
export interface HardNegativeVoxel {
  readonly voxel: Vec3
  readonly score: number | null
}

/**
 * Return the false positives of one case as voxels of its prepared grid, in the order of the list, without those outside of it;
 * null if the list has none.
 */
export function hardNegativesOf(
  caseId: string,
  list: readonly HardNegative[],
  affine: Affine,
  shape: Vec3,
): readonly HardNegativeVoxel[] | null {
  const toVoxel = invertAffine(affine)
  const own = list
    .filter((one) => one.case === caseId)
    .map(({ mm, score }) => ({ voxel: applyAffine(toVoxel, mm).map(Math.round) as unknown as Vec3, score }))
    .filter(({ voxel }) => voxel.every((at, axis) => at >= 0 && at < shape[axis]!))
  return own.length === 0 ? null : own
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
