import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DataError } from '../../errors.js'
import { asRecord, readForeignJson } from '../../foreign-text.js'
import { alignTo, type Grid } from '../../volume/geometry.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { readNifti, readNiftiHeader } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import { statesOfScan } from '../../volume/scan-files.js'
import type { LabelMap, Volume } from '../../volume/volume.js'
import { makingParents, writeWhole } from '../../whole-file.js'
import { caseFileNames } from '../case-file-names.js'
import { mapByNames } from './label-names.js'
import type { OrganMask } from './lists.js'
import type { LabelIdMap } from './registry.js'

/** Voxels that two masks of a case share; `kept` is the mask whose id they have in the label map. */
export interface MaskOverlap {
  readonly kept: string
  readonly covered: string
  readonly voxels: number
}

export interface MergedLabel {
  /** Label map with the ids of the region. */
  readonly label: LabelMap
  readonly overlaps: readonly MaskOverlap[]
}

/** A mask with its id of the region. */
export interface NamedMask extends OrganMask {
  readonly id: number
}

/**
 * Return the masks that mean an organ or tumor of the region, with their ids, in the order of precedence: the
 * last one wins. Tumors come after organs; among those, a higher id comes later, then a later name.
 */
export function masksOfRegion(masks: readonly OrganMask[], region: Region): NamedMask[] {
  const ids =
    mapByNames(Object.fromEntries(masks.map(({ name }, at) => [String(at), name])), region)?.map ?? {}
  const tumors = new Set(LABEL_SCHEMES[region].organs.map(({ tumorLabel }) => tumorLabel))
  const rank = ({ id }: NamedMask) => id + (tumors.has(id) ? 256 : 0)
  return masks
    .map((mask, at) => ({ ...mask, id: ids[String(at)] ?? 0 }))
    .filter(({ id }) => id > 0)
    .sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
}

/** Return the region whose organs the masks show; the abdomen if both. Null without an organ of a region. */
export function regionOfMasks(masks: readonly OrganMask[]): Region | null {
  const regions: readonly Region[] = ['abdomen', 'chest']
  return regions.find((region) => masksOfRegion(masks, region).length > 0) ?? null
}

/** Return the label map of masks that are merged: the ids are those of the region. */
export function regionIds(region: Region): LabelIdMap {
  return Object.fromEntries(LABEL_SCHEMES[region].names.map((_, id) => [String(id), id]))
}

/**
 * Merge binary masks into one label map on the grid of their scan.
 * @param masks in the order of precedence: the last one wins; at least one, at most 255
 * @param scan grid of the scan. Null: that of the first mask
 * @param read returns the volume of a file
 * @throws DataError for a mask with other values than 0 and 1 (or 255), or on another grid
 */
export async function mergeMasks(
  masks: readonly NamedMask[],
  read: (file: string) => Promise<Volume> = readNifti,
  scan: Grid | null = null,
): Promise<MergedLabel> {
  let grid = scan
  let owner = new Uint8Array(0)
  const counts = new Map<string, MaskOverlap>()
  for (const [at, mask] of masks.entries()) {
    const volume = await read(mask.file)
    grid ??= { shape: volume.shape, affine: volume.affine }
    const { data } = alignTo(volume, grid, mask.file)
    if (at === 0) owner = new Uint8Array(data.length)
    const covered = new Float64Array(at + 1)
    const isOne = onlyValue(data, mask.file)
    for (let n = 0; n < data.length; n++) {
      if (data[n] !== isOne) continue
      covered[owner[n]!]!++
      owner[n] = at + 1
    }
    for (let other = 1; other <= at; other++)
      if (covered[other]! > 0) {
        const name = masks[other - 1]!.name
        counts.set(`${at} ${other}`, { kept: mask.name, covered: name, voxels: covered[other]! })
      }
  }
  const ids = [0, ...masks.map(({ id }) => id)]
  return {
    label: { ...grid!, data: owner.map((mask) => ids[mask]!) },
    overlaps: [...counts.values()],
  }
}

/**
 * Return the value of the voxels inside a binary mask.
 * @throws DataError for other values
 */
function onlyValue(data: Volume['data'], file: string): number {
  let value = 0
  for (let n = 0; n < data.length; n++) {
    const found = data[n]!
    if (found === 0 || found === value) continue
    if (value !== 0 || (found !== 1 && found !== 255))
      throw new DataError(
        `${file}: wrong mask values (expected 0 and 1, found ${value || found}${value ? ` and ${found}` : ''})`,
        {
          hint: 'use a binary mask: this file has several ids, or was resampled with interpolation',
          facts: { file },
        },
      )
    value = found
  }
  return value || 1
}

/** A label map that was merged from masks and written. */
export interface WrittenLabel {
  readonly file: string
  readonly overlaps: readonly MaskOverlap[]
}

/**
 * Write the merged label map of a case; an earlier one of the same masks is reused.
 * @param folder of the label maps
 * @param image scan whose grid the masks must have. Empty: the masks must have one grid
 * @throws DataError as `mergeMasks`
 */
export async function writeMergedLabel(
  id: string,
  masks: readonly OrganMask[],
  region: Region,
  folder: string,
  image = '',
): Promise<WrittenLabel> {
  const named = masksOfRegion(masks, region)
  if (named.length === 0)
    throw new DataError(
      `case ${id}: no mask of the ${region} (found ${masks.map(({ name }) => name).join(', ')})`,
      {
        hint: `name the masks after organs: ${LABEL_SCHEMES[region].organs.map(({ name }) => name).join(', ')}`,
      },
    )
  const file = join(folder, `${caseFileNames([id]).get(id)}.nii.gz`)
  const record = file.replace(/\.nii\.gz$/, '.json')
  const inputs = await stateOf(named, region)
  const earlier = asRecord(await readForeignJson(record).catch(() => null))
  const isThere = await stat(file).catch(() => null)
  if (isThere && earlier?.inputs === inputs)
    return { file, overlaps: earlier.overlaps as readonly MaskOverlap[] }
  // a scan that cannot be read is reported with its own fault
  const scan = image === '' ? null : await readNiftiHeader(image).catch(() => null)
  const grid = scan && { shape: scan.shape, affine: scan.affine }
  const { label, overlaps } = await mergeMasks(named, readNifti, grid)
  await makingParents(file, () => writeNifti(file, label))
  await writeWhole(record, `${JSON.stringify({ inputs, overlaps }, null, 2)}\n`)
  return { file, overlaps }
}

/** Return a hash of everything that decides a merged label. */
async function stateOf(masks: readonly NamedMask[], region: Region): Promise<string> {
  const states = await Promise.all(
    masks.map(async ({ name, file, id }) => {
      const files = await statesOfScan(file)
      return files.map(({ bytes, modifiedMs }) => ({ name, file, id, size: bytes, mtimeMs: modifiedMs }))
    }),
  )
  return createHash('sha256')
    .update(JSON.stringify({ region, states: states.flat() }))
    .digest('hex')
}
