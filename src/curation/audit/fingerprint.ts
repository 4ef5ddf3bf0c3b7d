import { readStoredVoxels, scaled, type VoxelMemory } from '../../volume/nifti.js'
import type { Vec3 } from '../../volume/volume.js'
import { coarseGrid, type Reading, readingsOf } from './coarse-grid.js'
import { exactHash, wholeHu } from './exact-hash.js'
import { encodeLandmarks, findLandmarks, LANDMARK_CELL_MM } from './landmarks.js'
import { voxelSketch } from './voxel-sketch.js'

/** Increase this number when the content changes: fingerprints of two versions are not compared. */
export const FINGERPRINT_VERSION = 1

/** Data that identifies a scan: about 4 KB, without an image of the patient. */
export interface Fingerprint {
  readonly version: typeof FINGERPRINT_VERSION
  /** Equal for equal voxels, for any header, orientation and data type. */
  readonly exact: string
  readonly shape: Vec3
  /** Shared with every part of the same voxels. */
  readonly sketch: readonly number[]
  /** Shared in great part with every resampled copy; encoded, one set per possible meaning of the numbers. */
  readonly landmarks: readonly { readonly reading: Reading; readonly encoded: string }[]
}

/**
 * Compute the fingerprint of a scan.
 * @throws DataError for a file that is not a readable volume
 */
export async function fingerprintOf(file: string, memory: VoxelMemory): Promise<Fingerprint> {
  const { values, header, grid } = await readStoredVoxels(file, memory)
  const volume = wholeHu({ ...grid, data: scaled(values, header) })
  const cellMm: Vec3 = [LANDMARK_CELL_MM, LANDMARK_CELL_MM, LANDMARK_CELL_MM]
  return {
    version: FINGERPRINT_VERSION,
    exact: exactHash(volume),
    shape: header.shape,
    sketch: voxelSketch(volume),
    landmarks: readingsOf(volume).map((reading) => ({
      reading,
      encoded: encodeLandmarks(findLandmarks(coarseGrid(volume, reading, cellMm))),
    })),
  }
}
