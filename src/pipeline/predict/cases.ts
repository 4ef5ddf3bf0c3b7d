import { readdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { readList, type Split, stemOf } from '../../curation/datasets/lists.js'
import { boundsOf, outsideError } from '../../curation/datasets/outside.js'
import { DataError, UsageError } from '../../errors.js'
import { readForeignText } from '../../foreign-text.js'
import { cannotBeRead } from '../../system-errors.js'

/** A scan to predict. */
export interface ScanCase {
  /** Stem of the file name; the mask gets this name. */
  readonly id: string
  readonly image: string
  readonly organMask: string | null
  readonly label: string | null
}

const NIFTI = /\.nii(\.gz)?$/

/**
 * Return the requested scans: all of a folder, one file, or those of a list (.json in the decathlon form, or .txt with one
 * path per line, relative to the list). Listed files are not opened here.
 * @throws UsageError if the path cannot be read or holds no scan; DataError if two scans would have one mask
 */
export async function scansOf(
  images: string,
  split: Split | undefined,
  more: {
    readonly organMasks?: string | undefined
    readonly labels?: string | undefined
    readonly allowOutside?: boolean | undefined
  } = {},
): Promise<readonly ScanCase[]> {
  const files = await filesOf(resolve(images), split, more.allowOutside ?? false)
  if (files.length === 0) throw noVolumes(images)
  const [masks, labels] = await Promise.all([byStem(more.organMasks), byStem(more.labels)])
  const scans = files.map((image) => {
    const id = stemOf(image)
    return { id, image, organMask: masks.get(id) ?? null, label: labels.get(id) ?? null }
  })
  refuseTwins(scans)
  return scans
}

async function filesOf(
  path: string,
  split: Split | undefined,
  allowOutside: boolean,
): Promise<readonly string[]> {
  const state = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(cannotBeRead(path, error.code, 'file or folder'), {
      hint: 'pass --images a folder, a scan, or a list (.json, .txt)',
    })
  })
  if (state.isDirectory()) return niftiFiles(path)
  if (NIFTI.test(path)) return [path]
  if (path.endsWith('.json')) return listedFiles(path, split, allowOutside)
  if (path.endsWith('.txt')) return namedFiles(path, allowOutside)
  throw new UsageError(`${path}: neither a scan nor a list`, {
    hint: 'pass --images a folder, a scan (.nii, .nii.gz), or a list (.json, .txt)',
  })
}

/** Return the scans of a text file with one path per line. */
async function namedFiles(list: string, allowOutside: boolean): Promise<readonly string[]> {
  const isAllowed = await boundsOf([dirname(list)])
  const lines = (await readForeignText(list)).split('\n').map((line) => line.trim())
  return lines.flatMap((line, at) => {
    if (line === '') return []
    const file = resolve(dirname(list), line)
    if (!allowOutside && !isAllowed(file)) throw outsideError(`${list}: line ${at + 1}`, line, dirname(list))
    return [file]
  })
}

/** Return the scans of one split; `split` names it if the list has several. */
async function listedFiles(
  path: string,
  split: Split | undefined,
  allowOutside: boolean,
): Promise<readonly string[]> {
  const { cases } = await readList(path, { allowOutside })
  const splits = [...new Set(cases.map((one) => one.split))]
  if (split === undefined && splits.length > 1)
    throw new UsageError(`${path}: has several splits (${splits.join(', ')})`, {
      hint: 'choose one with --split',
    })
  const wanted = cases.filter((one) => split === undefined || one.split === split)
  if (wanted.length === 0)
    throw new UsageError(`${path}: lists no ${split ?? 'case'}`, {
      hint: `choose a split that it has: ${splits.join(', ')}`,
    })
  return wanted.map(({ image }) => image)
}

async function niftiFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(cannotBeRead(folder, error.code, 'folder'), { hint: 'correct the path' })
  })
  // Copying tools leave files that start with a dot.
  const scans = names.filter((name) => NIFTI.test(name) && !name.startsWith('.')).sort()
  return scans.map((name) => join(folder, name))
}

async function byStem(folder: string | undefined): Promise<Map<string, string>> {
  if (folder === undefined) return new Map()
  const files = await niftiFiles(resolve(folder))
  if (files.length === 0) throw noVolumes(folder)
  return new Map(files.map((file) => [stemOf(file), file]))
}

function noVolumes(path: string): UsageError {
  return new UsageError(`${path}: holds no .nii or .nii.gz file`, { hint: 'name the folder of the scans' })
}

function refuseTwins(scans: readonly ScanCase[]): void {
  const seen = new Map<string, string>()
  for (const { id, image } of scans) {
    // These names denote one file on a file system that ignores case or Unicode forms.
    const key = id.normalize('NFC').toLowerCase()
    const twin = seen.get(key)
    if (twin !== undefined)
      throw new DataError(`${twin} and ${image} would both have the mask ${id}.nii.gz`, {
        hint: 'predict them into separate folders',
      })
    seen.set(key, image)
  }
}
