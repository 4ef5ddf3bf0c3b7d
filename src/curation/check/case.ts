import { DataError } from '../../errors.js'
import { compareGrids } from '../../volume/geometry.js'
import {
  readStoredVoxels,
  type StoredVoxels,
  scaled,
  type VoxelMemory,
  voxelMemory,
} from '../../volume/nifti.js'
import type { NiftiHeader } from '../../volume/nifti-header.js'
import type { Vec3, VoxelArray } from '../../volume/volume.js'
import type { ManifestCase } from '../datasets/manifest.js'
import { countLabelIds, remapCounted } from '../datasets/remap.js'
import type { Finding, RuleFinding } from './finding.js'
import { gridFindings, pairFindings, sizeFindings } from './grid-rules.js'
import { imageFacts, imageFindings } from './image-rules.js'
import { anatomyFindings, idFindings, sideFindings } from './label-rules.js'
import { type OutlineSample, outlineFindings, sampleOutlines } from './outline-rules.js'
import type { PlacedImage } from './placed-image.js'
import { type OrganSample, placementFindings, sampleOrgans } from './placement-rules.js'

export interface CaseCheckOptions {
  /** Grid and patch of a run, to tell scans that do not fill a patch; null leaves that rule out. */
  readonly prepared: { readonly spacingMm: Vec3; readonly patchVoxels: Vec3 } | null
  /** Largest decoded file, in bytes; null: that of the reader. */
  readonly maxBytes: number | null
}

/**
 * Reads one case, to the last voxel, and applies every rule to it. Label and image are read one after the other into the
 * same memory, so a check needs the memory of the larger of the two.
 */
export async function checkCase(
  item: ManifestCase,
  options: CaseCheckOptions,
  memory: VoxelMemory = voxelMemory(),
): Promise<Finding[]> {
  const read = (file: string) => readOrRefuse(file, memory, options)
  // What remains of the label when the image takes its memory: headers, findings, some places.
  const label = item.label === null ? null : judgeLabel(await read(item.label), item, item.label)
  const image = await read(item.image)
  const imageRules = 'refused' in image ? [image.refused] : judgeImage(image, options)
  const pairRules = label?.grid && 'values' in image ? judgePair(image, label) : []
  // A label that repeats its image's odd grid says nothing new.
  const sameGrid =
    label?.header && 'values' in image && compareGrids(image.header, label.header).kind === 'same'
  const labelGrid = label?.header && !sameGrid ? gridFindings(label.header) : []
  return [
    ...imageRules.map((finding) => ({ ...finding, case: item.id, file: item.image })),
    ...[...pairRules, ...labelGrid, ...(label?.findings ?? [])].map((finding) => ({
      ...finding,
      case: item.id,
      file: item.label!,
    })),
  ]
}

/** What is kept of a label to lay on its image: organs, or where they are not known the outlines of whatever there is. */
type LabelSample = { readonly organs: readonly OrganSample[] } | { readonly outlines: OutlineSample }

interface JudgedLabel {
  readonly findings: readonly RuleFinding[]
  readonly sample: LabelSample | null
  readonly header: NiftiHeader | null
  readonly grid: StoredVoxels['grid'] | null
}

function judgeImage({ header, values }: StoredVoxels, { prepared }: CaseCheckOptions): RuleFinding[] {
  return [
    ...gridFindings(header),
    ...imageFindings(imageFacts(values, header)),
    ...(prepared ? sizeFindings(header, prepared.spacingMm, prepared.patchVoxels) : []),
  ]
}

function judgePair(image: StoredVoxels, { header, grid, sample }: JudgedLabel): RuleFinding[] {
  // 64-bit integers are no CT; they would have to be converted as a whole to look at some.
  const values =
    image.values instanceof BigInt64Array || image.values instanceof BigUint64Array ? null : image.values
  const placed =
    values && sample ? placedFindings(sample, grid!, { values, grid: image.grid, rescale: image.header }) : []
  return [...pairFindings(image.header, header!), ...placed]
}

function placedFindings(sample: LabelSample, grid: StoredVoxels['grid'], image: PlacedImage): RuleFinding[] {
  return 'organs' in sample
    ? placementFindings(sample.organs, grid, image)
    : outlineFindings(sample.outlines, grid, image)
}

function judgeLabel(stored: StoredVoxels | Refused, item: ManifestCase, file: string): JudgedLabel {
  if ('refused' in stored) return { findings: [stored.refused], sample: null, header: null, grid: null }
  const { header, grid } = stored
  try {
    return { ...judgeIds(stored, item, file), header, grid }
  } catch (error) {
    return { findings: [asFinding('label-values', error, file)], sample: null, header, grid }
  }
}

/** @throws DataError for values that are no ids */
function judgeIds(
  { values, header, grid }: StoredVoxels,
  item: ManifestCase,
  file: string,
): Pick<JudgedLabel, 'findings' | 'sample'> {
  const label = { ...grid, data: scaled(values, header) }
  const counts = countLabelIds(label, file)
  if (item.labelMap === null)
    return { findings: [unknownIds(counts)], sample: { outlines: sampleOutlines(label) } }
  const outside = idFindings(counts, item.labelMap)
  if (outside.length > 0) return { findings: outside, sample: { outlines: sampleOutlines(label) } }
  const sides = item.kidneySides ? sideFindings(label, item.kidneySides) : []
  const remapped = remapCounted(label, counts, item.labelMap, file, memoryOf(label.data), item.region)
  const voxelsOf = (id: number) => remapped.after.find((row) => row.id === id)?.voxels ?? 0
  const organs = sampleOrgans(remapped.label, voxelsOf, item.region)
  return {
    findings: [...anatomyFindings(remapped, item.labelMap, item), ...sides],
    sample: organs.length > 0 ? { organs } : { outlines: sampleOutlines(remapped.label) },
  }
}

/** The ids of the source are not needed once they are mapped: the new ones, a byte each, overwrite them. */
function memoryOf({ buffer, byteOffset, length }: VoxelArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length)
}

function unknownIds(counts: ReadonlyMap<number, number>): RuleFinding {
  const ids = [...counts.keys()].filter((id) => id !== 0).sort((a, b) => a - b)
  return {
    rule: 'label-unknown',
    severity: 'warning',
    message: `nobody says what its ids ${ids.slice(0, 10).join(', ')} mean: organs and tumors are not checked`,
    fix: 'name them in dataset.json as the region does, or give a map (`--map`)',
  }
}

interface Refused {
  readonly refused: RuleFinding
}

async function readOrRefuse(
  file: string,
  memory: VoxelMemory,
  { maxBytes }: CaseCheckOptions,
): Promise<StoredVoxels | Refused> {
  try {
    return await readStoredVoxels(file, memory, maxBytes === null ? {} : { maxBytes })
  } catch (error) {
    return { refused: asFinding('unreadable', error, file) }
  }
}

/** @throws what is no DataError, and so no finding but a fault of ours */
function asFinding(rule: Finding['rule'], error: unknown, file: string): RuleFinding {
  if (!(error instanceof DataError)) throw error
  return {
    rule,
    severity: 'error',
    message: error.message.replace(`${file}: `, ''),
    fix: error.hint ?? 'fetch it again',
  }
}
