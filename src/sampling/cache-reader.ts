import type { Affine, Vec3 } from '../volume/volume.js'
import { type CachedArray, openImage, openLabel, readIndex } from './cached-array.js'
import { BLOCK_VOXELS, brokenCase, type CaseGroup, type OpenGroup, openCaseGroup } from './case-group.js'
import { type HardNegativeVoxel, hardNegativesOf, positionsOf } from './positions.js'
import type { HardNegative, ListedPosition } from './sampling-plan.js'
import type { WantedCentre } from './tumors.js'

/** A case of the prepared cache, open for reading crops. */
export interface OpenCase extends CaseGroup {
  readonly shape: Vec3
  /** Lower end of the intensity window in HU. Tissue in the index lies above it; padding equals it. */
  readonly windowLowerHu: number
  readonly image: CachedArray<Int16Array>
  readonly label: CachedArray<Uint8Array>
  /** Voxels where the user wants tumors; null: anywhere in an organ. */
  readonly centres: readonly WantedCentre[] | null
  /** Voxels of false positives, around which negative crops are drawn; null: none. */
  readonly hardNegatives: readonly HardNegativeVoxel[] | null
  /** Voxels of each class per block of 16^3, C order [ids, blocks]. */
  readonly blockCounts: Uint16Array
  readonly numIds: number
  readonly blocks: Vec3
}

/**
 * A class of voxels: any of these labels, and with `tissue` also label 0 above the lower end of the window.
 */
export interface VoxelClass {
  readonly labels: readonly number[]
  readonly tissue: boolean
}

export interface Crop {
  /** HU, C order. */
  readonly image: Int16Array
  readonly label: Uint8Array
}

/**
 * Open a prepared case. `positions` may list where its tumors are wanted, `hardNegatives` its false positives.
 * @throws DataError that names case and file if it is missing, truncated, prepared for another window, or
 * changed since
 */
export async function openPreparedCase(
  group: CaseGroup,
  windowLowerHu: number,
  positions: readonly ListedPosition[] | null = null,
  hardNegatives: readonly HardNegative[] | null = null,
): Promise<OpenCase> {
  const opened = await openCaseGroup(group)
  checkWindow(opened, windowLowerHu)
  const centres = readCentres(opened, positions)
  const listed = hardNegatives?.some((one) => one.case === group.caseId) ?? false
  const blockCounts = readIndex(opened)
  const { caseId, path, arrays } = opened
  const [numIds, ...blocks] = arrays.index.shape as [number, number, number, number]
  const image = openImage(opened)
  try {
    const label = openLabel(opened)
    return {
      caseId,
      path,
      shape: image.shape,
      windowLowerHu,
      image,
      label,
      centres,
      hardNegatives: listed ? hardNegativesOf(caseId, hardNegatives!, affineOf(opened), image.shape) : null,
      blockCounts,
      numIds,
      blocks,
    }
  } catch (error) {
    image.close()
    throw error
  }
}

export function closePreparedCase(prepared: OpenCase): void {
  prepared.image.close()
  prepared.label.close()
}

/** Count the voxels of a class in the whole case, from its index. */
export function countVoxels(prepared: OpenCase, wanted: VoxelClass): number {
  return countsByBlock(prepared, wanted).reduce((sum, count) => sum + count, 0)
}

/**
 * Return voxel number `rank` (0 to countVoxels - 1) of a class, in the order of blocks and of voxels within a
 * block. A uniform rank gives a uniform voxel; only one block is read.
 */
export function voxelOfRank(prepared: OpenCase, wanted: VoxelClass, rank: number): Vec3 {
  const counts = countsByBlock(prepared, wanted)
  let block = 0
  let rest = rank
  while (block < counts.length && rest >= counts[block]!) rest -= counts[block++]!
  const [, y, z] = prepared.blocks
  const origin: Vec3 = [Math.floor(block / (y * z)), Math.floor(block / z) % y, block % z]
  const start = origin.map((index) => index * BLOCK_VOXELS) as unknown as Vec3
  const stop = start.map((from, axis) => Math.min(from + BLOCK_VOXELS, prepared.shape[axis]!))
  const label = prepared.label.read(start, stop)
  const image = wanted.tissue ? prepared.image.read(start, stop) : null
  for (let at = 0; at < label.length; at++) {
    const isWanted =
      label[at] === 0
        ? image !== null && image[at]! > prepared.windowLowerHu
        : wanted.labels.includes(label[at]!)
    if (isWanted && rest-- === 0) return voxelOfBlock(at, start, stop)
  }
  throw brokenCase(prepared, 'index and label contradict each other')
}

/**
 * Read the crop of `size` voxels from `start`. Outside the volume it is air (the lower end of the window) and
 * label 0.
 */
export function readCrop(prepared: OpenCase, start: Vec3, size: Vec3): Crop {
  const from = start.map((at) => Math.max(0, at))
  const to = start.map((at, axis) => Math.min(prepared.shape[axis]!, at + size[axis]!))
  const image = prepared.image.read(from, to)
  const label = prepared.label.read(from, to)
  const voxels = size[0] * size[1] * size[2]
  if (image.length === voxels) return { image, label }
  const crop: Crop = {
    // rounded down, so that the window still maps it to 0
    image: new Int16Array(voxels).fill(Math.floor(prepared.windowLowerHu)),
    label: new Uint8Array(voxels),
  }
  const box = to.map((end, axis) => end - from[axis]!)
  const inset = from.map((at, axis) => at - start[axis]!)
  for (let x = 0; x < box[0]!; x++) {
    for (let y = 0; y < box[1]!; y++) {
      const source = (x * box[1]! + y) * box[2]!
      const target = ((x + inset[0]!) * size[1] + y + inset[1]!) * size[2] + inset[2]!
      crop.image.set(image.subarray(source, source + box[2]!), target)
      crop.label.set(label.subarray(source, source + box[2]!), target)
    }
  }
  return crop
}

/** Return the listed positions of a case as voxels; null if the list has none for it. */
export function readCentres(
  group: OpenGroup,
  positions: readonly ListedPosition[] | null,
): readonly WantedCentre[] | null {
  if (!positions?.some((position) => position.case === group.caseId)) return null
  return positionsOf(group.caseId, positions, affineOf(group))
}

/** Return the affine of a prepared case. @throws DataError if it is missing */
export function affineOf(group: OpenGroup): Affine {
  const { affine } = group.attributes
  const numbers: readonly unknown[] = Array.isArray(affine) ? affine.flat() : []
  if (numbers.length !== 16 || numbers.some((number) => typeof number !== 'number'))
    throw brokenCase(group, 'affine missing')
  return numbers as Affine
}

function checkWindow(group: OpenGroup, windowLowerHu: number): void {
  const lowerHu = (group.attributes.windowHu as readonly unknown[] | undefined)?.[0]
  if (lowerHu !== windowLowerHu)
    throw brokenCase(group, `wrong intensity window (expected from ${windowLowerHu} HU, found ${lowerHu} HU)`)
}

function countsByBlock(prepared: OpenCase, wanted: VoxelClass): Uint32Array {
  const { blockCounts, numIds } = prepared
  const numBlocks = blockCounts.length / numIds
  const ids = wanted.tissue ? [0, ...wanted.labels] : wanted.labels
  const counts = new Uint32Array(numBlocks)
  for (const id of ids) {
    if (id >= numIds) continue
    for (let block = 0; block < numBlocks; block++)
      counts[block] = counts[block]! + blockCounts[id * numBlocks + block]!
  }
  return counts
}

function voxelOfBlock(at: number, start: Vec3, stop: readonly number[]): Vec3 {
  const y = stop[1]! - start[1]
  const z = stop[2]! - start[2]
  return [start[0] + Math.floor(at / (y * z)), start[1] + (Math.floor(at / z) % y), start[2] + (at % z)]
}
