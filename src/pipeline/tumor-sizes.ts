import type { RunConfig } from '../config/schema.js'
import { type AimedSettings, aimAt } from '../simulation/curriculum.js'
import { radiiOfVolumes, radiusVoxelsOf } from '../simulation/size.js'

/** Return tumor sizes in voxels of the prepared grid, and what is aimed at; its spacing converts millimetres. */
export function sizeSettings(
  {
    sizeOdds,
    radiusVoxels,
    radiusMm,
    volumesMl,
    curriculum,
    curriculumUniformShare,
  }: RunConfig['simulation'],
  { spacingMm, windowHu }: Pick<RunConfig['prepare'], 'spacingMm' | 'windowHu'>,
): AimedSettings {
  const inVoxels = (mm: number) => radiusVoxelsOf(mm, spacingMm)
  return {
    curriculum: curriculum && aimAt(curriculum, curriculumUniformShare, { spacingMm, windowHu }),
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
