import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import { DataError } from '../../errors.js'
import { counted } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'
import type { ListedCase } from './lists.js'
import { type MaskOverlap, writeMergedLabel } from './organ-masks.js'

/** Folder of merged label maps of commands that write no manifest, below the working directory. */
const SHARED_FOLDER = '.freetumor/labels'

/** A case that cannot be taken, and the reason. */
export interface RefusedCase {
  readonly id: string
  readonly error: DataError
}

export interface MergedCases {
  readonly cases: readonly ListedCase[]
  readonly refused: readonly RefusedCase[]
  /** One sentence for each pair of masks that overlap, over all cases. */
  readonly notes: readonly string[]
}

/**
 * Give each case with organ masks a label file: the masks, merged into the ids of the region. A later call
 * reuses the files.
 * @param source whose cases these are
 * @param idOf returns the id that names the file
 * @param folder of the label maps. Default: a folder of this source in the shared cache. Null writes nothing:
 * the masks are not read, and the label is the first of them
 */
export async function mergedLabels(
  source: string,
  cases: readonly ListedCase[],
  idOf: (item: ListedCase) => string,
  region: Region,
  folder: string | null = sharedFolder(source),
): Promise<MergedCases> {
  const labelled: ListedCase[] = []
  const refused: RefusedCase[] = []
  const overlaps: { id: string; overlap: MaskOverlap }[] = []
  for (const item of cases) {
    if (item.masks === undefined) {
      labelled.push(item)
      continue
    }
    const id = idOf(item)
    try {
      if (folder === null) {
        labelled.push({ ...item, label: item.masks[0]!.file })
        continue
      }
      const merged = await writeMergedLabel(id, item.masks, region, folder, item.image)
      labelled.push({ ...item, label: merged.file })
      overlaps.push(...merged.overlaps.map((overlap) => ({ id, overlap })))
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      refused.push({ id, error })
    }
  }
  return { cases: labelled, refused, notes: overlapNotes(overlaps) }
}

function sharedFolder(source: string): string {
  const key = createHash('sha256').update(resolve(source)).digest('hex').slice(0, 12)
  return join(resolve(SHARED_FOLDER), key)
}

function overlapNotes(overlaps: readonly { id: string; overlap: MaskOverlap }[]): string[] {
  const pairs = new Map<string, { cases: number; voxels: number; first: string }>()
  for (const { id, overlap } of overlaps) {
    const key = `${overlap.covered} and ${overlap.kept} overlap, ${overlap.kept} wins`
    const { cases, voxels, first } = pairs.get(key) ?? { cases: 0, voxels: 0, first: id }
    pairs.set(key, { cases: cases + 1, voxels: voxels + overlap.voxels, first })
  }
  return [...pairs].map(
    ([key, { cases, voxels, first }]) =>
      `${key}: ${counted(voxels, 'voxel')} in ${counted(cases, 'case')}, first ${first}`,
  )
}
