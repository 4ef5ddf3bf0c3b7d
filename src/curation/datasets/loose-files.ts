import { readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'
import { stemOf } from './lists.js'
import type { ManifestCase } from './manifest.js'
import type { KidneySides, LabelIdMap } from './registry.js'
import { tumorOrgans } from './registry.js'

const NIFTI = /\.nii(\.gz)?$/i

/** What is known of labels that no list describes. */
export interface LooseOptions {
  /** A label file for a scan, or a folder of labels with the names of their scans; absent: scans without labels. */
  readonly labels?: string | undefined
  readonly region?: Region | undefined
  readonly labelMap?: LabelIdMap | undefined
  readonly kidneySides?: KidneySides | undefined
}

/** Whether a path is a scan, or a folder of scans, rather than a data set or a list. */
export async function isLoose(path: string): Promise<boolean> {
  const state = await stat(path).catch(() => null)
  if (!state?.isDirectory()) return NIFTI.test(path)
  const names = await readdir(path)
  if (names.includes('dataset.json') || names.includes('imagesTr')) return false
  return names.some((name) => NIFTI.test(name)) || names.every((name) => !name.endsWith('.json'))
}

/**
 * Scans without a list: one file, or all NIfTI files below a folder, by name with the labels of another.
 * @throws DataError when there is none, or a label has no scan
 */
export async function looseCases(path: string, options: LooseOptions): Promise<ManifestCase[]> {
  const { labels, region = 'abdomen', labelMap = null, kidneySides } = options
  const images = await niftiFiles(path)
  const labelOf = labels === undefined ? new Map<string, string>() : await pairLabels(images, labels)
  const dataset = nameOf(path)
  return images.map((image) => {
    // With its ending: a folder may hold a file and the same compressed.
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
    throw new DataError(`${path}: cannot be read (${error.code})`, { hint: 'correct the path of the scan' })
  })
  if (!state.isDirectory()) return [path]
  const names = await readdir(path, { recursive: true })
  const files = names.filter((name) => NIFTI.test(name) && !basename(name).startsWith('.')).sort()
  if (files.length === 0)
    throw new DataError(`${path}: no NIfTI file was found there`, {
      hint: 'a data-set folder holds imagesTr and labelsTr, or a dataset.json; scans end in .nii or .nii.gz',
    })
  return files.map((name) => join(path, name))
}

/** Label of each image. */
async function pairLabels(images: readonly string[], labels: string): Promise<Map<string, string>> {
  const path = resolve(labels)
  const state = await stat(path).catch(() => null)
  if (state === null)
    throw new DataError(`${labels}: no label there`, { hint: 'correct the path after --labels' })
  if (!state.isDirectory() && images.length === 1) return new Map([[images[0]!, path]])
  if (!state.isDirectory())
    throw new DataError(`${labels}: is one label, there are ${images.length} scans`, {
      hint: 'name a folder of labels, or one scan',
    })
  const imageOf = new Map(images.map((image) => [stemOf(image), image]))
  const files = await niftiFiles(path)
  const alone = files.find((file) => !imageOf.has(stemOf(file)))
  if (alone)
    throw new DataError(`${alone}: no scan has its name`, {
      hint: 'labels and scans pair when their names are equal but for _0000',
    })
  return new Map(files.map((file) => [imageOf.get(stemOf(file))!, file]))
}

function nameOf(path: string): string {
  return NIFTI.test(path) ? basename(resolve(path, '..')) : basename(path)
}
