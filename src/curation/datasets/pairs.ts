import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { DataError, UsageError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import { IGNORED_LABEL, LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { ignoredIdsBeside } from './ignored-ids.js'
import type { ManifestCase } from './manifest.js'
import type { LabelIdMap } from './registry.js'

/** A host CT that is named by its files, not by a list. */
export type PairedCase = Omit<ManifestCase, 'labelMap'> & { readonly labelMap: LabelIdMap }

/**
 * Pair the scans of one folder with the labels of another by equal names, without `_0000` of the image. Each
 * scan is a patient of its own.
 * @param labelMap default: the labels have the ids of the region, but for those that their dataset.json ignores
 * @throws UsageError for a folder that cannot be read or has no scan, DataError for scans without a label
 */
export async function pairCases(
  images: string,
  labels: string,
  region: Region,
  labelMap?: LabelIdMap,
): Promise<PairedCase[]> {
  const scans = await volumesIn(images)
  const labelled = new Map((await volumesIn(labels)).map((file) => [stemOf(file), file]))
  const alone = scans.filter((file) => !labelled.has(stemOf(file)))
  if (alone.length > 0)
    throw new DataError(
      `${labels}: missing labels (expected ${scans.length}, found ${scans.length - alone.length}; first missing: ${alone[0]})`,
      {
        hint: 'give each label the name of its scan, without _0000',
      },
    )
  const map = labelMap ?? (await regionIdsOf(labels, region))
  return scans.map((file) => {
    const id = stemOf(file)
    return {
      id,
      dataset: 'hosts',
      patient: id,
      region,
      role: { kind: 'host' },
      image: resolve(join(images, file)),
      label: resolve(join(labels, labelled.get(id)!)),
      fold: null,
      split: 'training',
      labelMap: map,
    }
  })
}

async function volumesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(cannotBeRead(folder, error.code, 'folder'), { hint: 'correct the path' })
  })
  const volumes = names.filter((name) => /\.nii(\.gz)?$/.test(name)).sort()
  if (volumes.length === 0)
    throw new UsageError(`${folder}: no .nii or .nii.gz file found`, { hint: 'pass a folder of scans' })
  return volumes
}

function stemOf(file: string): string {
  return file.replace(/\.nii(\.gz)?$/, '').replace(/_0000$/, '')
}

async function regionIdsOf(labels: string, region: Region): Promise<LabelIdMap> {
  const { ids } = await ignoredIdsBeside(labels)
  const own = LABEL_SCHEMES[region].names.map((_, id) => [String(id), id])
  return Object.fromEntries([...own, ...ids.map((id) => [String(id), IGNORED_LABEL])])
}
