import { DataError } from '../../errors.js'
import { applyAffine, compareGrids } from '../../volume/geometry.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
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
import { type PreparedGrid, preparedSize } from './prepared-size.js'

export interface CaseCheckOptions {
  /** Grid and patch of a run, to find scans that do not fill a patch; null skips that rule. */
  readonly prepared: (PreparedGrid & { readonly patchVoxels: Vec3 }) | null
  /** Largest decoded file in bytes; null: the limit of the reader. */
  readonly maxBytes: number | null
}

/**
 * Read one case completely and apply every rule. Label and image are read one after the other into the same
 * memory, so a check needs the memory of the larger one.
 */
export async function checkCase(
  item: ManifestCase,
  options: CaseCheckOptions,
  memory: VoxelMemory = voxelMemory(),
): Promise<Finding[]> {
  const read = (file: string) => readOrRefuse(file, memory, options)
  // facts of the label that remain when the image takes its memory: headers, findings, sampled places
  const label = item.label === null ? null : judgeLabel(await read(item.label), item, item.label)
  const image = await read(item.image)
  const imageRules = 'refused' in image ? [image.refused] : judgeImage(image, options)
  // the places of a label are judged by HU
  const isHu = !imageRules.some(({ rule }) => rule === 'hu-scaled' || rule === 'rescale-lost')
  const pairRules = label?.grid && 'values' in image ? judgePair(image, label, isHu) : []
  // a label that repeats the odd grid of its image needs no second finding
  const sameGrid =
    label?.header && 'values' in image && compareGrids(image.header, label.header).kind === 'same'
  const labelGrid = label?.header && !sameGrid ? gridFindings(label.header) : []
  return [
    ...imageRules.map((finding) => ({ ...finding, case: item.id, file: item.image })),
    ...[...pairRules, ...labelGrid, ...(label?.findings ?? [])].map((finding) => ({
      ...finding,
      case: item.id,
      file: item.label!,
      image: item.image,
    })),
  ]
}

/** Sampled places of a label: organs, or outlines if the ids are unknown. */
type LabelSample = { readonly organs: readonly OrganSample[] } | { readonly outlines: OutlineSample }

interface JudgedLabel {
  readonly findings: readonly RuleFinding[]
  readonly sample: LabelSample | null
  readonly header: NiftiHeader | null
  readonly grid: StoredVoxels['grid'] | null
}

function judgeImage(image: StoredVoxels, { prepared }: CaseCheckOptions): RuleFinding[] {
  const { header, values } = image
  return [
    ...gridFindings(header),
    ...imageFindings(imageFacts(values, header)).map((finding) =>
      finding.rule === 'non-finite' ? { ...finding, ...placeOfNonFinite(image) } : finding,
    ),
    ...(prepared ? sizeFindings(preparedSize(image, prepared), prepared.patchVoxels) : []),
  ]
}

/** Return the first voxel that is NaN or infinite, in millimetres. */
function placeOfNonFinite({ values, grid }: StoredVoxels): Pick<RuleFinding, 'placeMm'> {
  const first = values.findIndex((value: number | bigint) => !Number.isFinite(Number(value)))
  if (first < 0) return {}
  const [, rows, columns] = grid.shape
  const voxel: Vec3 = [
    Math.floor(first / (rows * columns)),
    Math.floor(first / columns) % rows,
    first % columns,
  ]
  return { placeMm: applyAffine(grid.affine, voxel) }
}

function judgePair(image: StoredVoxels, { header, grid, sample }: JudgedLabel, isHu: boolean): RuleFinding[] {
  // 64-bit integers are not a CT; sampling them would convert the whole array
  const values =
    image.values instanceof BigInt64Array || image.values instanceof BigUint64Array ? null : image.values
  const placed =
    isHu && values && sample
      ? placedFindings(sample, grid!, { values, grid: image.grid, rescale: image.header })
      : []
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

/**
 * Check the ids of a label.
 * @throws DataError for values that are no ids
 */
function judgeIds(
  { values, header, grid }: StoredVoxels,
  item: ManifestCase,
  file: string,
): Pick<JudgedLabel, 'findings' | 'sample'> {
  const label = { ...grid, data: scaled(values, header) }
  const counts = countLabelIds(label, file)
  if (item.labelMap === null)
    return { findings: [unknownIds(counts)], sample: { outlines: sampleOutlines(label) } }
  const outside = idFindings(label, counts, item.labelMap)
  if (outside.length > 0) return { findings: outside, sample: { outlines: sampleOutlines(label) } }
  const sides = item.kidneySides ? sideFindings(label, item.kidneySides) : []
  const remapped = remapCounted(label, counts, item.labelMap, file, memoryOf(label.data), item.region)
  const voxelsOf = (id: number) => remapped.after.find((row) => row.id === id)?.voxels ?? 0
  const organs = sampleOrgans(remapped.label, voxelsOf, item.region)
  return {
    findings: [...anatomyFindings(remapped, item.labelMap, item), ...sides],
    sample: organs.length > 0 ? { organs } : { outlines: sampleOutlines(remapped.label, IGNORED_LABEL) },
  }
}

/**
 * Return the memory of the source ids for the mapped ids, a byte each: the source is not needed afterwards.
 */
function memoryOf({ buffer, byteOffset, length }: VoxelArray): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length)
}

function unknownIds(counts: ReadonlyMap<number, number>): RuleFinding {
  const ids = [...counts.keys()].filter((id) => id !== 0).sort((a, b) => a - b)
  return {
    rule: 'label-unknown',
    severity: 'warning',
    message: `the meaning of the ids ${ids.slice(0, 10).join(', ')} is unknown: organs and tumors are not checked`,
    fix: 'name the ids in dataset.json, or pass `--map`',
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

/**
 * Return a DataError as a finding.
 * @throws other errors, which are bugs
 */
function asFinding(rule: Finding['rule'], error: unknown, file: string): RuleFinding {
  if (!(error instanceof DataError)) throw error
  return {
    rule,
    severity: 'error',
    message: error.message.replace(`${file}: `, ''),
    fix: error.commandHint ?? 'fetch the file again',
  }
}
