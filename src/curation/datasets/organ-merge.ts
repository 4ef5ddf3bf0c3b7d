import { findHoles } from '../../volume/holes.js'
import { LABEL_SCHEMES, type OrganName, type Region } from '../../volume/labels.js'
import type { LabelMap } from '../../volume/volume.js'

export interface FilledHoles {
  readonly count: number
  readonly voxels: number
}

export interface MergedOrgans {
  readonly label: LabelMap
  /** Filled holes of each organ of the region. */
  readonly holes: Readonly<Partial<Record<OrganName, FilledHoles>>>
}

/**
 * Merge the organs that a tool found with a given label of the same scan, then fill the holes of each organ.
 *
 * A given id wins over the tool's: so a given tumor lies on the organ, and the organ is the union of both. Tumors that the
 * tool found become their organ, because the tumors of a data set come from its annotators. A hole is background inside one
 * organ with its tumors; it gets the id of the organ. Background between two organs stays.
 * @param organs ids of the region
 * @param given ids of the region on the same grid, or null
 */
export function mergeOrgans(organs: LabelMap, given: LabelMap | null, region: Region): MergedOrgans {
  const scheme = LABEL_SCHEMES[region]
  const organOf = Uint8Array.from({ length: 256 }, (_, id) => id)
  const ownerOf = new Uint8Array(256).fill(255)
  for (const [at, { label, tumorLabel }] of scheme.organs.entries()) {
    organOf[tumorLabel] = label
    ownerOf[label] = at + 1
    ownerOf[tumorLabel] = at + 1
  }
  const data = organs.data.map((id) => organOf[id]!)
  if (given !== null) for (let n = 0; n < data.length; n++) if (given.data[n] !== 0) data[n] = given.data[n]!
  const label = { data, shape: organs.shape, affine: organs.affine }
  const holes: Partial<Record<OrganName, { count: number; voxels: number }>> = {}
  for (const { name } of scheme.organs) holes[name] = { count: 0, voxels: 0 }
  for (const { owner, voxels, runs } of findHoles(label, ownerOf)) {
    const organ = scheme.organs[owner - 1]!
    for (const [start, end] of runs) data.fill(organ.label, start, end)
    holes[organ.name]!.count++
    holes[organ.name]!.voxels += voxels
  }
  return { label, holes }
}
