import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { DataError } from '../errors.js'
import { voxelVolumeMm3 } from '../volume/geometry.js'
import { IGNORED_LABEL, LABEL_SCHEMES } from '../volume/labels.js'
import { readStoredVoxels, scaled, type VoxelMemory } from '../volume/nifti.js'
import { filesOfScan } from '../volume/scan-files.js'
import { exactHash, wholeHu } from './audit/exact-hash.js'
import type { ManifestCase } from './datasets/manifest.js'
import { countLabelIds } from './datasets/remap.js'

/** Facts from whole files; `problem` and `hint` hold the reason if a file cannot be measured. */
export interface MeasuredFiles {
  readonly labelMl: Readonly<Record<string, number>> | null
  readonly digests: { readonly image: string; readonly label: string | null }
  /** `exactHash` of the image; null if it cannot be read. */
  readonly fingerprint: string | null
  readonly problem: string | null
  readonly hint?: string | undefined
}

/**
 * Read both files of a case: SHA-256 of each, the hash of the image's voxels, and the volume of every class
 * of the label in ml.
 */
export async function measureCase(item: ManifestCase, memory: VoxelMemory): Promise<MeasuredFiles> {
  const digests = { image: await sha256(item.image), label: item.label && (await sha256(item.label)) }
  const image = await orProblem(() => voxelHash(item.image, memory))
  const { label, labelMap } = item
  const volumes =
    label === null || labelMap === null
      ? { found: null }
      : await orProblem(() => labelVolumes(label, item, memory))
  return {
    digests,
    fingerprint: image.found,
    labelMl: volumes.found,
    problem: image.problem ?? volumes.problem ?? null,
    hint: image.problem === undefined ? volumes.hint : image.hint,
  }
}

/**
 * Return the result, or message and hint of its DataError.
 * @throws other errors
 */
async function orProblem<T>(
  find: () => Promise<T>,
): Promise<{ found: T | null; problem?: string; hint?: string | undefined }> {
  try {
    return { found: await find() }
  } catch (error) {
    if (!(error instanceof DataError)) throw error
    return { found: null, problem: error.message, hint: error.commandHint }
  }
}

async function voxelHash(file: string, memory: VoxelMemory): Promise<string> {
  const { values, header, grid } = await readStoredVoxels(file, memory)
  return exactHash(wholeHu({ ...grid, data: scaled(values, header) }))
}

async function labelVolumes(
  file: string,
  item: ManifestCase,
  memory: VoxelMemory,
): Promise<Record<string, number>> {
  const { names } = LABEL_SCHEMES[item.region]
  const { values, header, grid } = await readStoredVoxels(file, memory)
  const counts = countLabelIds({ ...grid, data: scaled(values, header) }, file)
  const voxels = new Map<string, number>()
  for (const [id, count] of counts) {
    const target = item.labelMap![String(id)] ?? (id === 0 ? 0 : undefined)
    if (target === undefined)
      throw new DataError(`${file}: id ${id} is not in the label map`, {
        hint: 'run `freetumor data check` for details',
      })
    if (target !== 0 && target !== IGNORED_LABEL)
      voxels.set(names[target]!, (voxels.get(names[target]!) ?? 0) + count)
  }
  const ml = voxelVolumeMm3(header.affine) / 1000
  return Object.fromEntries(
    [...voxels].sort().map(([name, count]) => [name, Number((count * ml).toPrecision(6))]),
  )
}

/** Return the hash of the bytes of a scan; of a pair, those of its `.hdr`, then those of its `.img`. */
async function sha256(scan: string): Promise<string> {
  const hash = createHash('sha256')
  for (const file of await filesOfScan(scan))
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}`
}
