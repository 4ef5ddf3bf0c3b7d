import { dirname } from 'node:path'
import { type IgnoredIds, ignoredIdsBeside } from '../../curation/datasets/ignored-ids.js'
import { UsageError } from '../../errors.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import type { EvaluateOptions } from './settings.js'

/**
 * Return the ids of the labels whose voxels count in no figure: those that the label map sends to `ignore`, without a map
 * those of the dataset.json of the labels.
 * @param files label files; each may have its own dataset.json
 * @throws UsageError if such an id is measured
 */
export async function ignoredIdsOfLabels(
  { labels, labelMap, labelIds }: EvaluateOptions,
  files: readonly string[],
): Promise<IgnoredIds> {
  if (labelMap !== undefined) {
    const ids = Object.keys(labelMap).filter((id) => labelMap[id] === IGNORED_LABEL)
    return { ids: ids.map(Number), source: 'the label map' }
  }
  const folders = new Set([labels, ...files.map((file) => dirname(file))])
  const each = await Promise.all([...folders].map(ignoredIdsBeside))
  const found = {
    ids: [...new Set(each.flatMap(({ ids }) => ids))],
    source: each.find(({ ids }) => ids.length > 0)?.source ?? '',
  }
  const measured = found.ids.find((id) => labelIds?.includes(id))
  if (measured !== undefined)
    throw new UsageError(`label id ${measured}: cannot be measured (ignored by ${found.source})`, {
      hint: 'omit the id, or map the labels with --map-labels',
    })
  return found
}

/** Return the label map as it crosses to Python: ignored ids are named apart, and background in the map. */
export function withoutIgnored(
  labelMap: EvaluateOptions['labelMap'],
): Readonly<Record<string, number>> | null {
  if (labelMap === undefined) return null
  const pairs = Object.entries(labelMap).map(([id, target]) => [id, target === IGNORED_LABEL ? 0 : target])
  return Object.fromEntries(pairs)
}
