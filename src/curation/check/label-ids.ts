import { DataError } from '../../errors.js'
import { LABEL_SCHEMES, type OrganName } from '../../volume/labels.js'
import { readStoredVoxels, scaled, type VoxelMemory } from '../../volume/nifti.js'
import type { ManifestCase } from '../datasets/manifest.js'
import { countLabelIds } from '../datasets/remap.js'

/** Ids of one label file, by the label map of its case. */
export interface LabelIds {
  /** Ids that the map does not contain. */
  readonly outside: readonly number[]
  /** Organs with at least one tumor voxel. */
  readonly tumors: readonly OrganName[]
  /** Why the label could not be read; null if it was. */
  readonly problem: string | null
}

/** Read the label of a case and list its ids. @throws what is no fault of the file */
export async function readLabelIds(item: ManifestCase, memory: VoxelMemory): Promise<LabelIds> {
  try {
    const { values, header, grid } = await readStoredVoxels(item.label!, memory)
    const counts = countLabelIds({ ...grid, data: scaled(values, header) }, item.label!)
    const map = new Map(Object.entries({ '0': 0, ...item.labelMap }))
    const ids = [...counts.keys()].sort((a, b) => a - b)
    const targets = new Set(ids.map((id) => map.get(String(id))))
    const { organs } = LABEL_SCHEMES[item.region]
    return {
      outside: ids.filter((id) => !map.has(String(id))),
      tumors: organs.filter(({ tumorLabel }) => targets.has(tumorLabel)).map(({ name }) => name),
      problem: null,
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { outside: [], tumors: [], problem: error.message }
  }
}
