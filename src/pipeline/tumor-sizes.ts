import type { RunConfig } from '../config/schema.js'
import { radiiOfVolumes, radiusVoxelsOf, type SizeSettings } from '../simulation/size.js'
import type { Vec3 } from '../volume/volume.js'

/** Return tumor sizes in voxels of the prepared grid; its spacing converts those given in millimetres. */
export function sizeSettings(
  { sizeOdds, radiusVoxels, radiusMm, volumesMl }: RunConfig['simulation'],
  spacingMm: Vec3,
): SizeSettings {
  const inVoxels = (mm: number) => radiusVoxelsOf(mm, spacingMm)
  return {
    sizeOdds,
    radiusVoxels:
      radiusMm === null
        ? radiusVoxels
        : {
            tiny: inVoxels(radiusMm.tiny),
            small: inVoxels(radiusMm.small),
            medium: inVoxels(radiusMm.medium),
            large: inVoxels(radiusMm.large),
          },
    listedRadii: volumesMl && radiiOfVolumes(volumesMl, spacingMm),
  }
}
