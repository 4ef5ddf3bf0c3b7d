import { readStoredVoxels, scaled, type VoxelMemory } from '../../volume/nifti.js'
import type { Vec3 } from '../../volume/volume.js'
import { coarseGrid, type Reading, readingsOf } from './coarse-grid.js'
import { exactHash, wholeHu } from './exact-hash.js'
import { encodeLandmarks, findLandmarks, LANDMARK_CELL_MM } from './landmarks.js'
import { voxelSketch } from './voxel-sketch.js'

/** Other contents need another number: fingerprints of two versions are not compared. */
export const FINGERPRINT_VERSION = 1

/** What a scan is recognised by; about 4 KB, and nothing of it shows the patient. */
export interface Fingerprint {
  readonly version: typeof FINGERPRINT_VERSION
  /** Equal for the same voxels, whatever header, orientation and data type. */
  readonly exact: string
  readonly shape: Vec3
  /** Shared with every part of the same voxels. */
  readonly sketch: readonly number[]
  /** Shared, in great part, with every resampled copy; encoded, one set for each way to read the numbers. */
  readonly landmarks: readonly { readonly reading: Reading; readonly encoded: string }[]
}

/** Reads a scan to its last voxel. @throws DataError for a file that is no readable volume */
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
