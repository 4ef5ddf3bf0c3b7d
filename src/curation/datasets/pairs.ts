import { dirname, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import { IGNORED_LABEL, type Region } from '../../volume/labels.js'
import type { LeftOut } from './file-names.js'
import { ignoredIdsBeside } from './ignored-ids.js'
import type { ManifestCase } from './manifest.js'
import { mergedLabels } from './merged-labels.js'
import { regionIds } from './organ-masks.js'
import { withLabels } from './own-labels.js'
import type { LabelIdMap } from './registry.js'
import { scansAt } from './scans.js'

/** A host CT that is named by its files, not by a manifest. */
export type PairedCase = Omit<ManifestCase, 'labelMap'> & { readonly labelMap: LabelIdMap }

export interface PairedCases {
  readonly cases: readonly PairedCase[]
  readonly leftOut: readonly LeftOut[]
  readonly notes: readonly string[]
}

/**
 * Return the host CTs at a path of any layout with their labels: their own, or those at `labels` with equal
 * names. Test scans without a label are not hosts. Each scan is a patient of its own.
 * @param labels folder or data set; undefined: the labels of the data set itself
 * @param labelMap default: the labels have the ids of the region, but for those that their dataset.json ignores.
 * Merged masks always have the ids of the region
 * @param split default: all cases of a data set that has several
 * @throws DataError for a path without a scan, or scans without a label
 */
export async function pairCases(
  images: string,
  labels: string | undefined,
  region: Region,
  labelMap?: LabelIdMap,
  split: 'training' | 'all' = 'all',
): Promise<PairedCases> {
  const found = await scansAt(images, { split })
  const list = {
    ...found,
    source: images,
    layout: '',
    labelNames: null,
    statedCount: null,
    cases: found.scans,
  }
  const { cases, leftOut } = labels === undefined ? list : await withLabels(list, labels)
  const hosts = cases.filter(({ label, masks }) => label !== null || masks !== undefined)
  const alone = cases.filter(({ label, masks }) => label === null && masks === undefined)
  // a data set may have test scans; a folder of labels must cover its scans
  if (hosts.length === 0 || (labels !== undefined && alone.length > 0))
    throw new DataError(
      `${labels ?? images}: missing labels (expected ${cases.length}, found ${hosts.length}; first missing: ${alone[0]?.name})`,
      {
        hint:
          labels === undefined
            ? 'pass the organ labels of the scans with --labels'
            : 'give each label the name of its scan, without _0000',
      },
    )
  const merged = await mergedLabels(resolve(images), hosts, ({ name }) => name, region)
  const [refused] = merged.refused
  if (refused) throw refused.error
  const mapOf = labelMap === undefined ? regionIdsBeside(region) : () => labelMap
  const maps = new Map(
    await Promise.all(merged.cases.map(async ({ name, label }) => [name, await mapOf(label!)] as const)),
  )
  return {
    cases: merged.cases.map(({ name, image, label, masks }) => ({
      id: name,
      dataset: 'hosts',
      patient: name,
      region,
      role: { kind: 'host' },
      image,
      label,
      fold: null,
      split: 'training',
      labelMap: masks === undefined ? maps.get(name)! : regionIds(region),
    })),
    leftOut,
    notes: [
      ...found.notes,
      ...merged.notes,
      ...(alone.length > 0
        ? [`${counted(alone.length, 'scan', ['has', 'have'])} no label, so cannot be a host`]
        : []),
    ],
  }
}

/** Return a function from a label file to the ids of the region and the ignored ids; each folder is read once. */
function regionIdsBeside(region: Region): (label: string) => Promise<LabelIdMap> {
  const known = new Map<string, Promise<LabelIdMap>>()
  const read = async (folder: string): Promise<LabelIdMap> => {
    const { ids } = await ignoredIdsBeside(folder)
    return { ...regionIds(region), ...Object.fromEntries(ids.map((id) => [String(id), IGNORED_LABEL])) }
  }
  return (label) => {
    const folder = dirname(label)
    const found = known.get(folder) ?? read(folder)
    known.set(folder, found)
    return found
  }
}
