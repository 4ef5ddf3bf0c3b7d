import { voxelVolumeMm3 } from '../../volume/geometry.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { readNifti } from '../../volume/nifti.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { LabelIdMap } from '../datasets/registry.js'

/**
 * Strata that folds are balanced by: hosts, and labelled cases by the diameter of a ball with the volume of
 * all tumor voxels.
 */
export const STRATA = ['host', 'no tumor', '< 20 mm', '20 to 50 mm', '>= 50 mm', 'unlabelled'] as const
export type Stratum = (typeof STRATA)[number]

export interface StrataOptions {
  readonly signal?: AbortSignal | undefined
  /** Labels read at a time. */
  readonly concurrency?: number
  readonly onCase?: ((done: number, total: number, id: string) => void) | undefined
}

/**
 * Return the stratum of every case by id; labels that are not measured yet are read. The borders are fixed
 * (those of lesion reports), so the stratum of a case does not depend on other cases.
 * @throws DataError for a label that cannot be read
 */
export async function strataOf(
  cases: readonly ManifestCase[],
  options: StrataOptions = {},
): Promise<ReadonlyMap<string, Stratum>> {
  const strata = new Map<string, Stratum>()
  const queue = [...cases]
  const work = async () => {
    for (let item = queue.shift(); item; item = queue.shift()) {
      options.signal?.throwIfAborted()
      strata.set(item.id, await stratumOf(item))
      options.onCase?.(strata.size, cases.length, item.id)
    }
  }
  await Promise.all(Array.from({ length: options.concurrency ?? 2 }, work))
  return strata
}

async function stratumOf(item: ManifestCase): Promise<Stratum> {
  if (item.role.kind === 'host') return 'host'
  const { label, labelMap, region, labelMl } = item
  if (labelMl) return stratumOfVolume(1000 * tumorMl(labelMl, region))
  if (label === null || labelMap === null) return 'unlabelled'
  return stratumOfVolume(await tumorVolumeMm3(label, labelMap, region))
}

/** Return the stratum of a labelled case by its volume of tumor. */
export function stratumOfVolume(volumeMm3: number): Stratum {
  if (volumeMm3 === 0) return 'no tumor'
  const diameterMm = Math.cbrt((6 * volumeMm3) / Math.PI)
  return diameterMm < 20 ? '< 20 mm' : diameterMm < 50 ? '20 to 50 mm' : '>= 50 mm'
}

function tumorMl(labelMl: NonNullable<ManifestCase['labelMl']>, region: Region): number {
  const { names, organs } = LABEL_SCHEMES[region]
  return organs.reduce((sum, { tumorLabel }) => sum + (labelMl[names[tumorLabel]!] ?? 0), 0)
}

async function tumorVolumeMm3(file: string, labelMap: LabelIdMap, region: Region): Promise<number> {
  const tumorLabels = new Set(LABEL_SCHEMES[region].organs.map(({ tumorLabel }) => tumorLabel))
  const tumorIds = Object.keys(labelMap).filter((id) => tumorLabels.has(labelMap[id]!))
  const isTumor = new Uint8Array(256)
  for (const id of tumorIds) isTumor[Number(id)] = 1
  const label = await readNifti(file)
  let voxels = 0
  for (let v = 0; v < label.data.length; v++) voxels += isTumor[label.data[v]!] ?? 0
  return voxels * voxelVolumeMm3(label.affine)
}
