import { basename, join } from 'node:path'
import { isMaskFolder, isVolume, readFolder, stemOf } from './file-names.js'
import type { ListedCase, OrganMask } from './lists.js'
import { regionOfMasks } from './organ-masks.js'

/** Names of the image and of the label in a folder of one case, in the order of preference. */
const IMAGES = ['ct', 'imaging', 'image', 'img', 'scan', 'volume']
const LABELS = [
  'segmentation',
  'label',
  'labels',
  'seg',
  'mask',
  'combined_labels',
  'aggregated_seg',
  'aggregated_maj_seg',
]

/**
 * Return the case of a folder such as `case_00000/imaging.nii.gz, segmentation.nii.gz` (KiTS) or
 * `s0001/ct.nii.gz, segmentations/liver.nii.gz` (TotalSegmentator, AbdomenAtlas); null for other folders. A
 * label without its image is a case whose image is missing. Masks of organs come before a label file; masks
 * without a known name, such as the instances of KiTS, do not.
 */
export async function readCaseFolder(folder: string): Promise<ListedCase | null> {
  const { volumes, folders } = await readFolder(folder)
  const name = basename(folder)
  const named = (wanted: readonly string[]) =>
    wanted.flatMap((stem) => volumes.find((file) => stemOf(file).toLowerCase() === stem) ?? [])[0]
  const image = named([...IMAGES, name.toLowerCase()])
  const label = named(LABELS)
  const found = await masksOf(folder, folders)
  const masks = label === undefined || regionOfMasks(found) !== null ? found : []
  const isCase = image === undefined ? label !== undefined || masks.length > 0 : true
  if (!isCase) return null
  const hasLabel = label !== undefined || masks.length > 0
  return {
    name,
    image: join(folder, image ?? (stemOf(label ?? '') === 'segmentation' ? 'imaging.nii.gz' : 'ct.nii.gz')),
    label: masks.length > 0 || label === undefined ? null : join(folder, label),
    ...(masks.length > 0 && { masks }),
    fold: null,
    split: hasLabel ? 'training' : 'test',
  }
}

async function masksOf(folder: string, folders: readonly string[]): Promise<OrganMask[]> {
  const found = folders.find((name) => isMaskFolder(name))
  if (found === undefined) return []
  const { volumes } = await readFolder(join(folder, found))
  return volumes.filter(isVolume).map((file) => ({ name: stemOf(file), file: join(folder, found, file) }))
}
