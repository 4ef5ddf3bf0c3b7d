import { join, resolve } from 'node:path'
import { scansAt } from '../../curation/datasets/scans.js'
import { writeJson } from '../../evaluation/write.js'
import { labelNameOf, type Region } from '../../volume/labels.js'
import { filesOfCases, type MaskFiles } from './mask-files.js'

/** Return the scan of each case in a folder or data set; none without one. */
export async function scansOfCases(
  images: string | undefined,
  ids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const scans = images === undefined ? [] : (await scansAt(images, { split: 'all' })).scans
  return filesOfCases(new Map(scans.map(({ name, image }) => [name, image])), ids)
}

/** Write `files.json`: the files of each case and the names of the measured ids, for viewers. */
export async function writeCaseFiles(
  out: string,
  pairs: readonly MaskFiles[],
  scans: ReadonlyMap<string, string>,
  {
    labelIds,
    tumorIds,
    region,
  }: { readonly labelIds: readonly number[]; readonly tumorIds: readonly number[]; readonly region: Region },
): Promise<void> {
  await writeJson(join(out, 'files.json'), {
    labels: labelIds.map((id) => ({
      id,
      name: labelNameOf(id, region) || `label ${id}`,
      tumor: tumorIds.includes(id),
    })),
    cases: pairs.map(({ id, prediction, label }) => ({
      case: id,
      scan: scans.has(id) ? resolve(scans.get(id)!) : null,
      label: resolve(label),
      prediction: resolve(prediction),
    })),
  })
}
