import { resolve } from 'node:path'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { parseMap, type Remapped, remapLabels, roundNearIds } from '../../curation/datasets/remap.js'
import { UsageError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'
import { makingParents, refuseUnwritable } from '../../whole-file.js'

export interface RemapDataOptions {
  /** The label map (NIfTI). */
  readonly labels: string
  /** Label map to write. */
  readonly out: string
  /** `region`, a preset, or `source:target,...`. */
  readonly map: string
  /** If given, targets must be ids of this region, or `ignore`. */
  readonly region?: Region | undefined
  /** Target of all ids that the map does not name. Default: such an id is refused. */
  readonly rest?: number | undefined
  /** Round values that are nearly integers, such as 4.99995. Default: such a value is refused. */
  readonly round?: boolean | undefined
}

/** The map that was applied, with the voxels of each id before and after. */
export type RemappedFile = Pick<Remapped, 'before' | 'after'> & {
  readonly out: string
  readonly map: LabelIdMap
}

/**
 * Write a label map with other ids.
 * @throws UsageError for an unknown map, or if `out` is the label map itself; DataError for an id outside the map
 */
export async function remapData({
  labels,
  out,
  map: text,
  region,
  rest,
  round,
}: RemapDataOptions): Promise<RemappedFile> {
  const map = parseMap(text, region ?? null)
  if (!/\.nii(\.gz)?$/i.test(out))
    throw new UsageError(`--out: wrong ending (expected .nii or .nii.gz, found ${out})`, {
      hint: 'name the file .nii.gz',
    })
  if (resolve(labels) === resolve(out))
    throw new UsageError(`--out: same file as --labels (found ${out})`, { hint: 'name another file' })
  const target = resolve(out)
  await refuseUnwritable(target)
  const stored = await readNifti(resolve(labels))
  const whole = round ? roundNearIds(stored) : stored
  const { label, before, after } = remapLabels(whole, map, labels, region, rest)
  await makingParents(target, () => writeNifti(target, label))
  return { out, map, before, after }
}
