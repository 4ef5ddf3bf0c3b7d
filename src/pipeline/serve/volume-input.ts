import { DataError, UsageError } from '../../errors.js'
import type { TumorPlan } from '../../simulation/tumor.js'
import { determinant, orientationOf, spacingOf } from '../../volume/geometry.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import type { Affine, LabelMap, Vec3, Volume, VoxelArray } from '../../volume/volume.js'

/** HU of any number type; float values are rounded if an integer is needed. */
export type HuVolume = Volume<VoxelArray>

/** Largest size of a tensor, as in src/transport/frames.ts. */
const MAX_TENSOR_BYTES = 2 ** 31
/** Headers hold rounded values: spacings within this relative difference are equal. */
const SPACING_TOLERANCE = 0.005
const MIN_HU = -32768
const MAX_HU = 32767

/**
 * Check that shape, data and affine of a volume fit each other, and that its tensors fit the limit, on its own grid and on
 * that of the networks.
 * @throws UsageError that names the fault
 */
export function checkedVolume(
  volume: HuVolume,
  name: string,
  spacingMm: Vec3,
  { bytesPerVoxel }: { readonly bytesPerVoxel: number },
): { readonly shape: Vec3; readonly affine: Affine } {
  const { data, shape, affine } = volume
  const sound =
    Array.isArray(shape) &&
    shape.length === 3 &&
    shape.every((side) => Number.isSafeInteger(side) && side > 0)
  if (!sound)
    throw new UsageError(`${name}: wrong shape (expected three integers above 0, found [${shape}])`, {
      hint: 'pass `shape` as [x, y, z] in voxels',
    })
  const voxels = shape[0] * shape[1] * shape[2]
  if (!ArrayBuffer.isView(data) || data.length !== voxels)
    throw new UsageError(
      `${name}: data do not fit shape [${shape}] (expected ${voxels} values, found ${data?.length})`,
      { hint: 'pass one value per voxel, the last axis contiguous' },
    )
  if (!isAffine(affine))
    throw new UsageError(`${name}: wrong affine (expected 16 finite numbers of an invertible matrix)`, {
      hint: 'pass the 4x4 matrix from voxel to RAS millimetres, row by row',
    })
  const spacing = spacingOf(affine)
  const resampled = shape.reduce(
    (product, side, axis) => (product * side * spacing[axis]!) / spacingMm[axis]!,
    1,
  )
  const bytes = Math.max(voxels, resampled) * bytesPerVoxel
  if (bytes > MAX_TENSOR_BYTES)
    throw new UsageError(
      `${name}: [${shape}] voxels of ${spacing.map((mm) => mm.toFixed(2)).join(' x ')} mm are too large for a tensor (expected at most 2048 MiB, found ${Math.ceil(bytes / 2 ** 20)})`,
      { hint: 'pass a part of the volume, or omit `logits`' },
    )
  return { shape, affine }
}

/**
 * Check that a label is on the grid of its image and has ids of the region.
 * @throws UsageError, DataError
 */
export function checkedLabel(label: LabelMap, image: HuVolume, name: string, numIds: number): void {
  if (label.shape?.join() !== image.shape.join() || label.data?.length !== image.data.length)
    throw new UsageError(`${name}: wrong shape (expected [${image.shape}], found [${label.shape}])`, {
      hint: 'pass a label on the grid of its image',
    })
  if (!(label.data instanceof Uint8Array))
    throw new UsageError(`${name}: wrong type of data (expected a Uint8Array of ids)`, {
      hint: 'convert it with `Uint8Array.from(label.data)`',
    })
  let highest = 0
  for (const id of label.data) if (id > highest && id !== IGNORED_LABEL) highest = id
  if (highest >= numIds)
    throw new DataError(
      `${name}: wrong id (expected 0 to ${numIds - 1} of the region or ${IGNORED_LABEL}, found ${highest})`,
      { hint: 'convert the ids to those of the region with `freetumor data remap`' },
    )
}

/**
 * Check that a plan fits in a volume.
 * @throws UsageError if the plan is for another volume
 */
export function checkedPlan({ box, boxOrigin }: TumorPlan, shape: Vec3, name: string): void {
  const voxels = box.shape[0] * box.shape[1] * box.shape[2]
  const inside = boxOrigin.every((from, axis) => from >= 0 && from + box.shape[axis]! <= shape[axis]!)
  if (!inside || box.data.length !== voxels)
    throw new UsageError(
      `${name}: the plan's box [${box.shape}] at [${boxOrigin}] is not inside a volume of [${shape}] voxels`,
      { hint: 'plan the tumor in the label of the request' },
    )
}

/** Return whether a grid is that of the networks: RAS, at their spacing. */
export function onGrid(affine: Affine, spacingMm: Vec3): boolean {
  const near = spacingOf(affine).every((mm, axis) => Math.abs(mm / spacingMm[axis]! - 1) < SPACING_TOLERANCE)
  return near && orientationOf(affine) === 'RAS'
}

/**
 * Return the values to send: int16 without a copy; any other type as float32, or rounded to int16.
 * @throws DataError for NaN or infinity
 */
export function huOf(volume: HuVolume, name: string, as?: 'int16'): Int16Array | Float32Array {
  const { data } = volume
  if (data instanceof Int16Array) return data
  const values = data instanceof Float32Array ? data : Float32Array.from(data)
  let sum = 0
  for (let at = 0; at < values.length; at++) sum += values[at]! * 0
  if (sum !== 0) throw new DataError(`${name}: holds NaN or infinity`, { hint: 'replace those voxels' })
  if (as === undefined) return values
  return Int16Array.from(values, (hu) => Math.max(MIN_HU, Math.min(MAX_HU, Math.round(hu))))
}

function isAffine(affine: unknown): affine is Affine {
  return (
    Array.isArray(affine) &&
    affine.length === 16 &&
    affine.every(Number.isFinite) &&
    affine.slice(12).join() === '0,0,0,1' &&
    Math.abs(determinant(affine)) > 1e-6
  )
}
