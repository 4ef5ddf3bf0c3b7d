import type { RunConfig } from '../config/schema.js'
import { ConfigError } from '../errors.js'
import { type AimedSettings, aimAt, leastDiameterMm } from '../simulation/curriculum.js'
import { radiiOfVolumes, radiusVoxelsOf } from '../simulation/size.js'

/**
 * Return tumor sizes in voxels of the prepared grid, and what is aimed at; its spacing converts millimetres.
 * @throws ConfigError if every tumor of the curriculum is too small to be aimed at
 */
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
  const aimed = curriculum && aimAt(curriculum, curriculumUniformShare, { spacingMm, windowHu })
  if (aimed?.length === 0)
    throw new ConfigError(
      `simulation.curriculum: aims at no tumor (expected a range that ends above ${leastDiameterText({ spacingMm })})`,
      {
        hint: 'add a range of larger diameters, or of depths or contrasts, or set simulation.curriculum: null',
      },
    )
  const inVoxels = (mm: number) => radiusVoxelsOf(mm, spacingMm)
  return {
    curriculum: aimed,
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

/**
 * Return a warning for each organ of the curriculum whose diameters are all too small to be aimed at. An evaluation can write
 * such a list, so it is no error unless nothing is left.
 * @throws ConfigError as `sizeSettings`
 */
export function unaimedSizes(
  simulation: RunConfig['simulation'],
  prepare: Pick<RunConfig['prepare'], 'spacingMm' | 'windowHu'>,
): string[] {
  const aimed = sizeSettings(simulation, prepare).curriculum ?? []
  const measured = (simulation.curriculum ?? []).filter(({ diameterMm }) => diameterMm !== undefined)
  return [...new Set(measured.map(({ organ }) => organ))]
    .filter((name) => !aimed.some(({ organ, diametersMm }) => organ === name && diametersMm.length > 0))
    .map(
      (organ) =>
        `simulation.curriculum: aims at no diameter of the ${organ} (expected a range that ends above ${leastDiameterText(prepare)}); the other keys decide its sizes`,
    )
}

function leastDiameterText({ spacingMm }: Pick<RunConfig['prepare'], 'spacingMm'>): string {
  return `${leastDiameterMm(spacingMm)} mm, the larger of 5 mm and 3 voxels of prepare.spacingMm`
}
