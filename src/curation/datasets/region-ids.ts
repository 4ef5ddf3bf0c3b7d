import type { RunConfig } from '../../config/schema.js'
import { ConfigError } from '../../errors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { findPreset } from './presets.js'

/**
 * Refuse label maps of a configuration that lead to ids outside the region, and presets of the other region.
 * @throws ConfigError that names the data set; UsageError for an unknown preset
 */
export function refuseForeignIds(
  data: Pick<RunConfig['data'], 'datasets' | 'registry'>,
  region: Region,
): void {
  for (const { name, labelMap } of data.datasets) refuseMap(`data.datasets: ${name}`, labelMap, region)
  for (const { name, labelMap, region: own } of data.registry)
    refuseMap(`data.registry: ${name}`, labelMap, own)
}

type LabelMap = RunConfig['data']['datasets'][number]['labelMap']

function refuseMap(where: string, map: LabelMap, region: Region): void {
  if (map === null) return
  if (typeof map === 'string') return void findPreset(map, region)
  const { names } = LABEL_SCHEMES[region]
  const wrong = Object.entries(map).find(([, target]) => target >= names.length)
  if (wrong === undefined) return
  const [source, target] = wrong
  throw new ConfigError(
    `${where}: its labelMap maps ${source} to ${target} (expected an id of the ${region}, 0 to ${names.length - 1})`,
    { hint: `ids of the ${region}: ${names.map((name, id) => `${id} ${name}`).join(', ')}` },
  )
}
