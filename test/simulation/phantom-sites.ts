import type { TumorSite } from '../../src/simulation/site.js'
import type { Vec3 } from '../../src/volume/volume.js'

/** A site whose voxel (x, y, z) has the id that `id` says. */
export function siteOf(
  shape: Vec3,
  id: (x: number, y: number, z: number) => number,
  organLabel = 1,
): TumorSite {
  const label = new Uint8Array(shape[0] * shape[1] * shape[2])
  for (let x = 0, at = 0; x < shape[0]; x++)
    for (let y = 0; y < shape[1]; y++) for (let z = 0; z < shape[2]; z++) label[at++] = id(x, y, z)
  return { label, shape, organLabel }
}

/** The organ of the reference: an ellipsoid in a crop of 96^3. */
export function ellipsoidSite(): TumorSite {
  return siteOf([96, 96, 96], (x, y, z) =>
    ((x - 48) / (0.42 * 96)) ** 2 + ((y - 48) / (0.36 * 96)) ** 2 + ((z - 48) / (0.4 * 96)) ** 2 < 1 ? 1 : 0,
  )
}
