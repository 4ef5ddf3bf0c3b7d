import { DataError, UsageError } from '../../errors.js'
import type { TumorPlan } from '../../simulation/tumor.js'
import { determinant, orientationOf, spacingOf } from '../../volume/geometry.js'
import { IGNORED_LABEL } from '../../volume/labels.js'
import type { Affine, LabelMap, Vec3, Volume, VoxelArray } from '../../volume/volume.js'

/** HU of any number type; float values are rounded where a whole number is needed. */
export type HuVolume = Volume<VoxelArray>

/** No tensor may be larger; the figure of src/transport/frames.ts. */
const MAX_TENSOR_BYTES = 2 ** 31
/** Headers round: spacings this close are one. */
const SPACING_TOLERANCE = 0.005
const MIN_HU = -32768
const MAX_HU = 32767

/**
 * A volume whose shape, data and affine fit each other and the memory that a call may take, on its own grid and on that of
 * the networks.
 * @throws UsageError that names what does not fit
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
    throw new UsageError(`${name}: a shape of three whole numbers above 0 is needed, got [${shape}]`)
  const voxels = shape[0] * shape[1] * shape[2]
  if (!ArrayBuffer.isView(data) || data.length !== voxels)
    throw new UsageError(`${name}: shape [${shape}] needs ${voxels} values, the data has ${data?.length}`)
  if (!isAffine(affine))
    throw new UsageError(
      `${name}: an affine of 4x4 finite numbers by rows is needed, voxel to RAS millimetres`,
    )
  const spacing = spacingOf(affine)
  const resampled = shape.reduce(
    (product, side, axis) => (product * side * spacing[axis]!) / spacingMm[axis]!,
    1,
  )
  const bytes = Math.max(voxels, resampled) * bytesPerVoxel
  if (bytes > MAX_TENSOR_BYTES)
    throw new UsageError(
      `${name}: [${shape}] voxels of ${spacing.map((mm) => mm.toFixed(2)).join(' x ')} mm take ${Math.ceil(bytes / 2 ** 20)} MiB a tensor, the limit is 2048`,
      { hint: 'give a part of it, or ask for no logits' },
    )
  return { shape, affine }
}

/** @throws UsageError, DataError when the label does not lie on the image or has ids that the region does not know */
export function checkedLabel(label: LabelMap, image: HuVolume, name: string, numIds: number): void {
  if (label.shape?.join() !== image.shape.join() || label.data?.length !== image.data.length)
    throw new UsageError(`${name}: shape [${label.shape}], the image has [${image.shape}]`)
  if (!(label.data instanceof Uint8Array)) throw new UsageError(`${name}: a Uint8Array of ids is needed`)
  let highest = 0
  for (const id of label.data) if (id > highest && id !== IGNORED_LABEL) highest = id
  if (highest >= numIds)
    throw new DataError(
      `${name}: id ${highest}, the region has ids 0 to ${numIds - 1} and ${IGNORED_LABEL}`,
      {
        hint: '`freetumor data remap` brings other ids to those of the region',
      },
    )
}

/** @throws UsageError when the plan is of another volume */
export function checkedPlan({ box, boxOrigin }: TumorPlan, shape: Vec3, name: string): void {
  const voxels = box.shape[0] * box.shape[1] * box.shape[2]
  const inside = boxOrigin.every((from, axis) => from >= 0 && from + box.shape[axis]! <= shape[axis]!)
  if (!inside || box.data.length !== voxels)
    throw new UsageError(
      `${name}: the plan's box [${box.shape}] at [${boxOrigin}] does not lie in a volume of [${shape}] voxels`,
      { hint: 'plan the tumor in the label of the request' },
    )
}

/** Whether voxels are those that the networks were trained on: RAS, at their spacing. */
export function onGrid(affine: Affine, spacingMm: Vec3): boolean {
  const near = spacingOf(affine).every((mm, axis) => Math.abs(mm / spacingMm[axis]! - 1) < SPACING_TOLERANCE)
  return near && orientationOf(affine) === 'RAS'
}

/**
 * The values as they travel: int16 as they are, without a copy; everything else as float32, or rounded to int16.
 * @throws DataError for NaN or infinity
 */
export function huOf(volume: HuVolume, name: string, as?: 'int16'): Int16Array | Float32Array {
  const { data } = volume
  if (data instanceof Int16Array) return data
  const values = data instanceof Float32Array ? data : Float32Array.from(data)
  let sum = 0
  for (let at = 0; at < values.length; at++) sum += values[at]! * 0
  if (sum !== 0) throw new DataError(`${name}: it holds NaN or infinity`, { hint: 'replace those voxels' })
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
