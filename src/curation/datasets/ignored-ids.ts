import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import type { Region } from '../../volume/labels.js'
import { ignoredIdsOf, type LabelNames, mapByNames } from './label-names.js'
import { labelNamesOf } from './lists.js'

/** Ids of label files whose voxels are ignored, and the file or setting that names them. */
export interface IgnoredIds {
  readonly ids: readonly number[]
  readonly source: string
}

/**
 * Return the region whose organs alone the dataset.json of a folder of labels names.
 * @returns null without names, or if they fit both regions
 * @throws DataError for a dataset.json that cannot be read
 */
export async function regionBeside(labels: string): Promise<Region | null> {
  const found = await namesBeside(labels)
  const regions = (['abdomen', 'chest'] as const).filter(
    (region) => found !== null && mapByNames(found.names, region) !== null,
  )
  return regions.length === 1 ? regions[0]! : null
}

/**
 * Return the ids that the dataset.json of a folder of labels names `ignore`, `unlabeled` or `void`. The file lies in the
 * folder or, as nnU-Net has it, next to it.
 * @throws DataError for a dataset.json that cannot be read
 */
export async function ignoredIdsBeside(labels: string): Promise<IgnoredIds> {
  const found = await namesBeside(labels)
  return found === null
    ? { ids: [], source: '' }
    : { ids: ignoredIdsOf(found.names).map(Number), source: found.source }
}

/** Return the names of ids in the dataset.json of a folder of labels; null without this file. */
async function namesBeside(
  labels: string,
): Promise<{ readonly names: LabelNames; readonly source: string } | null> {
  for (const folder of [resolve(labels), dirname(resolve(labels))]) {
    const source = join(folder, 'dataset.json')
    if (!(await stat(source).catch(() => null))?.isFile()) continue
    const content = asRecord(await readForeignJson(source)) ?? {}
    return { names: labelNamesOf(content, source).labelNames ?? {}, source }
  }
  return null
}
