import { resolve } from 'node:path'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { parseMap, type Remapped, remapLabels } from '../../curation/datasets/remap.js'
import { UsageError } from '../../errors.js'
import type { Region } from '../../volume/labels.js'
import { readNifti } from '../../volume/nifti.js'
import { writeNifti } from '../../volume/nifti-write.js'

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
}: RemapDataOptions): Promise<RemappedFile> {
  const map = parseMap(text, region ?? null)
  if (resolve(labels) === resolve(out))
    throw new UsageError(`--out: same file as --labels (found ${out})`, { hint: 'name another file' })
  const { label, before, after } = remapLabels(await readNifti(resolve(labels)), map, labels, region, rest)
  await writeNifti(resolve(out), label)
  return { out, map, before, after }
}
