import { resolveSections } from './resolve-sections.js'
import type { RunConfig } from './schema.js'

/** How a scan is brought before a network. */
export interface Preparation {
  readonly windowHu: RunConfig['prepare']['windowHu']
  readonly spacingMm: RunConfig['prepare']['spacingMm']
  readonly patchVoxels: RunConfig['sampling']['patchVoxels']
}

/** The preparation that a configuration states. */
export function preparationOf({ prepare, sampling }: Pick<RunConfig, 'prepare' | 'sampling'>): Preparation {
  return { windowHu: prepare.windowHu, spacingMm: prepare.spacingMm, patchVoxels: sampling.patchVoxels }
}

/** The published preparation of a region, for files that do not state theirs. */
export function publishedPreparation(region: RunConfig['region']): Preparation {
  return preparationOf(resolveSections(['prepare', 'sampling'], { job: 'baseline', region }))
}
