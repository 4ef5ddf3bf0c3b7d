import type { RunConfig } from '../../config/schema.js'
import { ConfigError } from '../../errors.js'
import { allowedIds, IGNORED_LABEL, LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { findPreset } from './presets.js'
import type { LabelIdMap } from './registry.js'

/** A label map as a configuration states it: a preset, or targets of source ids. */
type StatedMap = RunConfig['data']['datasets'][number]['labelMap']

/** Return a label map of a configuration as ids; `ignore` is the id of ignored voxels. Null for a preset and null. */
export function statedIds(map: StatedMap): LabelIdMap | null {
  if (map === null || typeof map === 'string') return null
  const ids = Object.entries(map).map(([source, target]) => [
    source,
    target === 'ignore' ? IGNORED_LABEL : target,
  ])
  return Object.fromEntries(ids)
}

/**
 * Refuse label maps of a configuration that lead to ids outside the region, and presets of the other region.
 * @throws ConfigError that names the data set; UsageError for an unknown preset
 */
export function refuseForeignIds(
  data: Pick<RunConfig['data'], 'datasets' | 'registry'>,
  region: Region,
): void {
  const refuse = (where: string, map: StatedMap, of: Region): void => {
    if (typeof map === 'string') findPreset(map, of)
    refuseForeignTargets(where, statedIds(map) ?? {}, of)
  }
  for (const { name, labelMap } of data.datasets) refuse(`data.datasets: ${name}`, labelMap, region)
  for (const { name, labelMap, region: own } of data.registry) refuse(`data.registry: ${name}`, labelMap, own)
}

/**
 * Refuse a label map that leads to ids outside the region.
 * @throws ConfigError that begins with `where`
 */
export function refuseForeignTargets(where: string, map: LabelIdMap, region: Region): void {
  const last = LABEL_SCHEMES[region].names.length - 1
  const wrong = Object.entries(map).find(([, target]) => target > last && target !== IGNORED_LABEL)
  if (wrong === undefined) return
  const [source, target] = wrong
  throw new ConfigError(
    `${where}: its labelMap maps ${source} to ${target} (expected an id of the ${region}, 0 to ${last}, or ignore)`,
    { hint: `ids of the ${region}: ${allowedIds(region)}` },
  )
}

/** Return a sentence about the ids of a data set whose voxels are ignored; null if there are none. */
export function ignoredNote(dataset: string, map: LabelIdMap): string | null {
  // 255 means ignored voxels in every label map with ids of a region
  const ids = Object.keys(map).filter((id) => map[id] === IGNORED_LABEL && Number(id) !== IGNORED_LABEL)
  if (ids.length === 0) return null
  const named = ids.length === 1 ? `label id ${ids[0]} is` : `label ids ${ids.join(', ')} are`
  const note = `${dataset}: ${named} ignored: such voxels count in no loss, crop centre, tumor and figure`
  return map['0'] === IGNORED_LABEL ? `${note}. If id 0 is background, map it to 0` : note
}
