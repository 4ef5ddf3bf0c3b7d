import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { ignoredIdsOf } from './label-names.js'
import { labelNamesOf } from './lists.js'

/** Ids of label files whose voxels are ignored, and the file or setting that names them. */
export interface IgnoredIds {
  readonly ids: readonly number[]
  readonly source: string
}

/**
 * Return the ids that the dataset.json of a folder of labels names `ignore`, `unlabeled` or `void`. The file lies in the
 * folder or, as nnU-Net has it, next to it.
 * @throws DataError for a dataset.json that cannot be read
 */
export async function ignoredIdsBeside(labels: string): Promise<IgnoredIds> {
  for (const folder of [resolve(labels), dirname(resolve(labels))]) {
    const source = join(folder, 'dataset.json')
    if (!(await stat(source).catch(() => null))?.isFile()) continue
    const content = asRecord(await readForeignJson(source)) ?? {}
    return { ids: ignoredIdsOf(labelNamesOf(content, source).labelNames ?? {}).map(Number), source }
  }
  return { ids: [], source: '' }
}
