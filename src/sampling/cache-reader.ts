import type { Vec3 } from '../volume/volume.js'
import { type ListedPosition, positionsOf } from './positions.js'
import type { WantedCentre } from './tumors.js'
import {
  brokenCase,
  type CaseGroup,
  openZarrArray,
  readGroupAttribute,
  type ZarrArray,
} from './zarr-array.js'

/** A case of the prepared cache, open for reading crops of it. */
export interface PreparedCase extends CaseGroup {
  readonly shape: Vec3
  /** Lower end of the window in HU: what the index calls tissue lies above it, and padding has it. */
  readonly windowLowerHu: number
  readonly image: ZarrArray
  readonly label: ZarrArray
  /** Voxels that tumors are wanted at; null: anywhere in an organ. */
  readonly centres: readonly WantedCentre[] | null
  /** Voxels of each class by block of 16^3, C order [ids, blocks]. */
  readonly blockCounts: Uint16Array
  readonly numIds: number
  readonly blocks: Vec3
}

/** A kind of voxel to draw from: any of these labels, and with `tissue` also label 0 above the window's lower end. */
export interface VoxelClass {
  readonly labels: readonly number[]
  readonly tissue: boolean
}

export interface Crop {
  /** HU, C order. */
  readonly image: Int16Array
  readonly label: Uint8Array
}

const BLOCK_VOXELS = 16
const FORMAT_VERSION = 1

/**
 * Opens a prepared case. `positions` may list where its tumors are wanted. Raises DataError (naming case and file) when it is
 * missing, cut, or of another window.
 */
export async function openPreparedCase(
  group: CaseGroup,
  windowLowerHu: number,
  positions: readonly ListedPosition[] | null = null,
): Promise<PreparedCase> {
  const attributes = await readGroupAttribute(group, 'freetumor')
  checkAttributes(group, attributes, windowLowerHu)
  const centres = readCentres(group, attributes, positions)
  const opened: ZarrArray[] = []
  const openArray = async (...args: Parameters<typeof openZarrArray>) => {
    opened.push(await openZarrArray(...args))
    return opened.at(-1)!
  }
  try {
    const image = await openArray(group, 'image', 'int16')
    const label = await openArray(group, 'label', 'uint8')
    const index = await openArray(group, 'index', 'uint16')
    const blocks = checkShapes(group, image.shape, label.shape, index.shape)
    const blockCounts = (await index.read([0, 0, 0, 0], index.shape)) as Uint16Array
    index.close()
    const { caseId, path } = group
    const shape = image.shape as Vec3
    const numIds = index.shape[0]!
    return { caseId, path, shape, windowLowerHu, image, label, centres, blockCounts, numIds, blocks }
  } catch (error) {
    for (const array of opened) array.close()
    throw error
  }
}

export function closePreparedCase(prepared: PreparedCase): void {
  prepared.image.close()
  prepared.label.close()
}

/** Voxels of a class in the whole case, from its index. */
export function countVoxels(prepared: PreparedCase, wanted: VoxelClass): number {
  return countsByBlock(prepared, wanted).reduce((sum, count) => sum + count, 0)
}

/**
 * Voxel number `rank` (0 to countVoxels - 1) of a class, in the order of blocks and of voxels within a block. A uniform
 * rank gives a uniform voxel; one block is read.
 */
export async function voxelOfRank(prepared: PreparedCase, wanted: VoxelClass, rank: number): Promise<Vec3> {
  const counts = countsByBlock(prepared, wanted)
  let block = 0
  let rest = rank
  while (block < counts.length && rest >= counts[block]!) rest -= counts[block++]!
  const [, y, z] = prepared.blocks
  const origin: Vec3 = [Math.floor(block / (y * z)), Math.floor(block / z) % y, block % z]
  const start = origin.map((index) => index * BLOCK_VOXELS) as unknown as Vec3
  const stop = start.map((from, axis) => Math.min(from + BLOCK_VOXELS, prepared.shape[axis]!))
  const label = (await prepared.label.read(start, stop)) as Uint8Array
  const image = wanted.tissue ? ((await prepared.image.read(start, stop)) as Int16Array) : null
  for (let at = 0; at < label.length; at++) {
    const isWanted =
      label[at] === 0
        ? image !== null && image[at]! > prepared.windowLowerHu
        : wanted.labels.includes(label[at]!)
    if (isWanted && rest-- === 0) return voxelOfBlock(at, start, stop)
  }
  throw brokenCase(prepared, 'its index does not fit its label')
}

/** The crop of `size` voxels from `start`; outside the volume it is air (the window's lower end) and label 0. */
export async function readCrop(prepared: PreparedCase, start: Vec3, size: Vec3): Promise<Crop> {
  const from = start.map((at) => Math.max(0, at))
  const to = start.map((at, axis) => Math.min(prepared.shape[axis]!, at + size[axis]!))
  const image = (await prepared.image.read(from, to)) as Int16Array
  const label = (await prepared.label.read(from, to)) as Uint8Array
  const voxels = size[0] * size[1] * size[2]
  if (image.length === voxels) return { image, label }
  const crop: Crop = {
    // Rounded down, so that the window still makes it 0.
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

/** The listed positions of a case as voxels of it; null where none is of it. */
export async function readListedCentres(
  group: CaseGroup,
  positions: readonly ListedPosition[] | null,
): Promise<readonly WantedCentre[] | null> {
  return positions === null
    ? null
    : readCentres(group, await readGroupAttribute(group, 'freetumor'), positions)
}

function readCentres(
  group: CaseGroup,
  found: unknown,
  positions: readonly ListedPosition[] | null,
): readonly WantedCentre[] | null {
  if (!positions?.some((position) => position.case === group.caseId)) return null
  const affine = (found as { affine?: unknown } | undefined)?.affine
  const numbers = Array.isArray(affine) ? affine.flat() : []
  if (numbers.length !== 16 || numbers.some((number) => typeof number !== 'number'))
    throw brokenCase(group, 'its affine, which listed positions need, is missing')
  return positionsOf(group.caseId, positions, numbers as number[])
}

function checkAttributes(group: CaseGroup, found: unknown, windowLowerHu: number): void {
  const attributes = found as { version?: unknown; windowHu?: readonly unknown[] } | undefined
  if (attributes?.version !== FORMAT_VERSION)
    throw brokenCase(group, `format ${FORMAT_VERSION} was expected, found ${attributes?.version}`)
  const lowerHu = attributes.windowHu?.[0]
  if (lowerHu !== windowLowerHu)
    throw brokenCase(group, `prepared for a window from ${lowerHu} HU, but ${windowLowerHu} HU is asked for`)
}

function checkShapes(
  group: CaseGroup,
  image: readonly number[],
  label: readonly number[],
  index: readonly number[],
): Vec3 {
  const blocks = index.slice(1)
  const expected = image.map((side) => Math.ceil(side / BLOCK_VOXELS))
  if (image.length !== 3 || String(label) !== String(image) || String(blocks) !== String(expected))
    throw brokenCase(group, `image, label and index must fit, found [${image}], [${label}], [${index}]`)
  return blocks as unknown as Vec3
}

function countsByBlock(prepared: PreparedCase, wanted: VoxelClass): Uint32Array {
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
