import { basename, dirname, join } from 'node:path'
import { DataError } from '../../errors.js'
import {
  caseNames,
  isMaskFolder,
  type LeftOut,
  readFolder,
  stemOf,
  unnamedScans,
  VOLUME_ENDINGS,
  volumesByStem,
  volumesLeftOut,
} from './file-names.js'
import type { ListedCase, Split } from './lists.js'
import type { Layout } from './registry.js'

type Folders = Extract<Layout, { kind: 'folders' }>
type Flat = Extract<Layout, { kind: 'flat' }>

export interface FolderCases {
  readonly cases: readonly ListedCase[]
  readonly leftOut: readonly LeftOut[]
}

/** Folders of images and labels that are read without a list, in the order of preference. */
const KNOWN: readonly Folders[] = [
  { kind: 'folders', images: 'imagesTr', labels: 'labelsTr' },
  { kind: 'folders', images: 'images', labels: 'labels' },
]

const IMAGE_FOLDER = /^(images?|imgs?|cts?|scans?|volumes?)$/i

/**
 * Return the folders of images and labels among the folders of a data set, in any letter case; else its only
 * folder of images with its only folder of masks. Undefined without images.
 */
export function imageFolders(folders: readonly string[]): Folders | undefined {
  const named = (wanted: string) => folders.find((name) => name.toLowerCase() === wanted.toLowerCase())
  for (const { images, labels } of KNOWN) {
    const [image, label] = [named(images), named(labels)]
    if (image !== undefined && label !== undefined) return { kind: 'folders', images: image, labels: label }
  }
  const test = named('imagesTs')
  const training = named('imagesTr')
  if (training !== undefined || test !== undefined)
    return { kind: 'folders', images: training ?? 'imagesTr', labels: named('labelsTr') ?? 'labelsTr' }
  const images = folders.filter((name) => IMAGE_FOLDER.test(name))
  const labels = folders.filter(isMaskFolder)
  if (images.length !== 1 || labels.length !== 1) return undefined
  return { kind: 'folders', images: images[0]!, labels: labels[0]! }
}

/**
 * Read the cases of a data-set folder without a list: images and labels with equal names in two folders, test
 * scans in imagesTs, or pairs with distinct endings in one folder.
 * @param declared a dataset.json states channels
 * @throws DataError for a folder without an image, a second channel, or names that never pair
 */
export async function readImageFolders(
  folder: string,
  layout: Layout,
  declared: boolean,
): Promise<FolderCases> {
  const images = layout.kind === 'flat' ? layout.folder : layout.images
  const parts =
    layout.kind === 'flat'
      ? [await readFlat(join(folder, layout.folder), layout)]
      : await readSplits(folder, layout, declared)
  const cases = parts.flatMap((part) => part.cases)
  const leftOut = parts.flatMap((part) => part.leftOut)
  if (cases.length === 0)
    throw new DataError(`${folder}: no image found in ${images}${foundInstead(leftOut)}`, {
      hint: leftOut[0]?.remedy ?? 'pass a folder with imagesTr and labelsTr, or with a dataset.json',
    })
  return { cases, leftOut }
}

/** Return ` (found 5 files of DICOM, first IM0.dcm)` for a folder without a scan; empty without such files. */
export function foundInstead(leftOut: readonly LeftOut[]): string {
  const parts = leftOut.map(({ count, reason, example }) => `${count} of ${reason}, first ${example}`)
  return parts.length === 0 ? '' : ` (expected ${VOLUME_ENDINGS}; found ${parts.join('; ')})`
}

async function readSplits(folder: string, training: Folders, declared: boolean): Promise<FolderCases[]> {
  const { folders, volumes } = await presentFolder(folder)
  const named = (wanted: string) =>
    folders.find((name) => name.toLowerCase() === wanted.toLowerCase()) ?? wanted
  const test: Folders = { kind: 'folders', images: named('imagesTs'), labels: named('labelsTs') }
  const read = [training.images, test.images]
  const other = folders.filter((name) => /^images/i.test(name) && !read.includes(name))
  const unread = [
    ...volumes.map((name) => join(folder, name)),
    ...(await volumesBelow(folder, other)),
    ...(await volumesBelow(folder, read)).filter((file) => !read.includes(basename(dirname(file)))),
  ]
  const remedy = 'move it into the folder of images, or out of the data set'
  return [
    await readPairs(folder, training, 'training', declared),
    await readPairs(folder, test, 'test', declared),
    { cases: [], leftOut: volumesLeftOut(unread, 'a volume outside the folders that are read', remedy) },
  ]
}

/** Return the paths of all volumes in folders of a folder, and below them. */
async function volumesBelow(root: string, folders: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    folders.map(async (name) => {
      const inner = await presentFolder(join(root, name))
      const own = inner.volumes.map((file) => join(root, name, file))
      return [...own, ...(await volumesBelow(join(root, name), inner.folders))]
    }),
  )
  return found.flat()
}

async function readPairs(
  folder: string,
  { images, labels }: Folders,
  split: Split,
  declared: boolean,
): Promise<FolderCases> {
  const [image, label] = await Promise.all([
    presentFolder(join(folder, images)),
    presentFolder(join(folder, labels)),
  ])
  const byStem = volumesByStem(join(folder, labels), label.volumes)
  const labelOf = new Map([...byStem].map(([name, file]) => [name, join(folder, labels, file)]))
  const paths = image.volumes.map((name) => join(folder, images, name))
  const names = caseNames(paths, new Set(labelOf.keys()), declared)
  const cases = names.map((name, at): ListedCase => {
    // a test image may have no label; for a training image, the label is expected under its name
    const expected = split === 'training' ? join(folder, labels, `${name}.nii.gz`) : null
    return { name, image: paths[at]!, label: labelOf.get(name) ?? expected, fold: null, split }
  })
  if (split === 'training' && cases.length > 0 && !names.some((name) => labelOf.has(name)))
    throw new DataError(
      `${join(folder, images)}: no image has a label of equal name in ${labels} (first ${image.volumes[0]})`,
      { hint: 'give images and labels equal names, or pair them in a dataset.json' },
    )
  const alone = [...labelOf].filter(([name]) => split === 'training' && !names.includes(name))
  const unnamed = await unnamedBelow(join(folder, images))
  return { cases, leftOut: [...image.leftOut, ...unnamed, ...label.leftOut, ...labelsAlone(alone)] }
}

/** Return the scans of other formats that only their first bytes show, in a folder and below it. */
async function unnamedBelow(folder: string): Promise<LeftOut[]> {
  const { others, folders } = await presentFolder(folder)
  const below = await Promise.all(folders.map((name) => unnamedBelow(join(folder, name))))
  return [...(await unnamedScans(folder, others)), ...below.flat()]
}

/** A label without an image is a case that cannot be taken. */
function labelsAlone(alone: readonly (readonly [string, string])[]): LeftOut[] {
  return volumesLeftOut(
    alone.map(([, file]) => file),
    'a label without its image',
    'fetch the image of the same name, or remove the label',
  )
}

async function readFlat(folder: string, { imageEnding, labelEnding }: Flat): Promise<FolderCases> {
  const { volumes, leftOut } = await presentFolder(folder)
  const labels = volumesByStem(folder, volumes)
  const images = volumes.filter((name) => stemOf(name).endsWith(imageEnding))
  const cases = images.map((image): ListedCase => {
    const name = stemOf(image).slice(0, -imageEnding.length)
    const label = labels.get(`${name}${labelEnding}`) ?? `${name}${labelEnding}.nii.gz`
    return { name, image: join(folder, image), label: join(folder, label), fold: null, split: 'training' }
  })
  return { cases, leftOut }
}

async function presentFolder(folder: string) {
  return await readFolder(folder).catch(() => ({ volumes: [], folders: [], others: [], leftOut: [] }))
}
