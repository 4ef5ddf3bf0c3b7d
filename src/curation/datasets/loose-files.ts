import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { cannotBeRead } from '../../system-errors.js'
import type { Region } from '../../volume/labels.js'
import { stemOf } from './lists.js'
import type { ManifestCase } from './manifest.js'
import type { KidneySides, LabelIdMap } from './registry.js'
import { tumorOrgans } from './registry.js'

const NIFTI = /\.nii(\.gz)?$/i

/** Description of labels without a list. */
export interface LooseOptions {
  /** A label file for a scan, or a folder of labels with the names of their scans; absent: no labels. */
  readonly labels?: string | undefined
  readonly region?: Region | undefined
  readonly labelMap?: LabelIdMap | undefined
  readonly kidneySides?: KidneySides | undefined
}

/** Return true if a path is a scan or a folder of scans, and not a data set or a list. */
export async function isLoose(path: string): Promise<boolean> {
  const state = await stat(path).catch(() => null)
  if (!state?.isDirectory()) return NIFTI.test(path)
  const names = await readdir(path)
  if (names.includes('dataset.json') || names.includes('imagesTr')) return false
  return names.some((name) => NIFTI.test(name)) || names.every((name) => !name.endsWith('.json'))
}

/**
 * Return scans without a list: one file, or all NIfTI files below a folder, with the labels of equal names.
 * @throws DataError if there is no scan, or if a label has no scan
 */
export async function looseCases(path: string, options: LooseOptions): Promise<ManifestCase[]> {
  const { labels, region = 'abdomen', labelMap = null, kidneySides } = options
  const images = await niftiFiles(path)
  const labelOf = labels === undefined ? new Map<string, string>() : await pairLabels(images, labels)
  const dataset = nameOf(path)
  return images.map((image) => {
    // with its ending: a folder may contain a file both plain and compressed
    const place = image === path ? basename(image) : relative(path, image)
    const label = labelOf.get(image) ?? null
    return {
      id: `${dataset}/${place}`,
      dataset,
      patient: `${dataset}/${place}`,
      region,
      role: { kind: 'labelled', organs: labelMap ? tumorOrgans(labelMap, region) : [] },
      image,
      label,
      fold: null,
      split: label === null ? 'test' : 'training',
      labelMap,
      ...(kidneySides && { kidneySides }),
    }
  })
}

async function niftiFiles(path: string): Promise<string[]> {
  const state = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new DataError(cannotBeRead(path, error.code, 'scan'), { hint: 'correct the path of the scan' })
  })
  if (!state.isDirectory()) return [path]
  const names = await readdir(path, { recursive: true })
  const files = names.filter((name) => NIFTI.test(name) && !basename(name).startsWith('.')).sort()
  if (files.length === 0)
    throw new DataError(`${path}: no NIfTI file found`, {
      hint: 'pass a data set, or a folder of scans that end in .nii or .nii.gz',
    })
  return files.map((name) => join(path, name))
}

/** Return the label of each image. */
async function pairLabels(images: readonly string[], labels: string): Promise<Map<string, string>> {
  const path = resolve(labels)
  const state = await stat(path).catch(() => null)
  if (state === null)
    throw new DataError(cannotBeRead(labels, 'ENOENT', 'label'), { hint: 'correct the path after --labels' })
  if (!state.isDirectory() && images.length === 1) return new Map([[images[0]!, path]])
  if (!state.isDirectory())
    throw new DataError(`${labels}: one label (expected a folder for ${images.length} scans)`, {
      hint: 'pass a folder of labels, or one scan',
    })
  const imageOf = new Map(images.map((image) => [stemOf(image), image]))
  const files = await niftiFiles(path)
  const alone = files.find((file) => !imageOf.has(stemOf(file)))
  if (alone)
    throw new DataError(`${alone}: no scan of this name`, {
      hint: 'give label and scan equal names, except for _0000',
    })
  return new Map(files.map((file) => [imageOf.get(stemOf(file))!, file]))
}

function nameOf(path: string): string {
  return NIFTI.test(path) ? basename(resolve(path, '..')) : basename(path)
}
