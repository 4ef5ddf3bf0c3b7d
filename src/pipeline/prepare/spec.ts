import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import { LABEL_SCHEMES } from '../../volume/labels.js'
import type { PrepareSpec } from '../ports/cases.js'
import type { PrepareSettings } from './settings.js'

/**
 * Return the complete settings of a preparation, as Python receives them.
 * @param verify check every byte of a reused case
 */
export function prepareSpec(
  settings: PrepareSettings,
  cases: readonly (PrepareSpec['cases'][number] & { readonly cacheId?: string })[],
  verify: boolean,
): PrepareSpec {
  const { workers, spacingMm, windowHu, compression } = settings.prepare
  return {
    job: 'prepare',
    directory: cacheDirectory(settings),
    workers,
    spacingMm,
    windowHu,
    numIds: LABEL_SCHEMES[settings.region].names.length,
    compression,
    verify,
    cases: cases.map(({ image, label, labelMap, ...item }) => ({
      id: cacheIdOf(item),
      image,
      label,
      labelMap,
    })),
  }
}

/** Return the name of a case in the cache: its id, unless its label depends on reviews. */
export function cacheIdOf({ id, cacheId = id }: { readonly id: string; readonly cacheId?: string }): string {
  return cacheId
}

/** Return the folder of the prepared cases: one folder for each set of deciding settings. */
export function cacheDirectory(settings: PrepareSettings): string {
  return join(resolve(settings.prepare.cache), prepareKey(settings))
}

/** Return a hash of the settings that decide a prepared case; the inputs are checked case by case. */
function prepareKey({ region, prepare: { spacingMm, windowHu, compression } }: PrepareSettings): string {
  const layout = compression === 'none' ? {} : { compression }
  const text = JSON.stringify({ region, spacingMm, lowerHu: windowHu[0], ...layout })
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}
