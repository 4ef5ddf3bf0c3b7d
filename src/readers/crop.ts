import { applyAffine, type Grid, invertAffine } from '../volume/geometry.js'
import type { Affine, Vec3, Volume, VoxelArray } from '../volume/volume.js'

/** Range of stored values: that of CT. Values beyond it, such as the padding of some scanners, are clipped on both sides. */
const RANGE_HU = { low: -1024, high: 3071 } as const

/** The grid of all volumes of a study: axes to the right, front and head of the patient. */
export interface StudyGrid {
  readonly shape: Vec3
  readonly spacingMm: number
}

/**
 * Return the extent in mm along right, anterior and superior in which a grid of a study can lie without extrapolation; null for
 * axes that are not parallel to the patient's, because a crop could then leave the scan at a corner.
 */
export function innerExtent(grid: Grid): readonly [low: Vec3, high: Vec3] | null {
  const [low, high] = [
    [0, 0, 0],
    [0, 0, 0],
  ] as [[number, number, number], [number, number, number]]
  const axes = axesOf(grid.affine)
  if (axes === null) return null
  const first = applyAffine(grid.affine, [0, 0, 0])
  const last = applyAffine(grid.affine, grid.shape.map((side) => side - 1) as unknown as Vec3)
  for (const axis of [0, 1, 2] as const) {
    low[axis] = Math.min(first[axis], last[axis])
    high[axis] = Math.max(first[axis], last[axis])
  }
  return [low, high]
}

/**
 * Return where a crop starts: the target lies in its middle, displaced by `jitterMm`, and the crop lies inside the scan. Null if
 * the scan is too small.
 */
export function cropStart(
  extent: readonly [Vec3, Vec3],
  { shape, spacingMm }: StudyGrid,
  targetMm: Vec3,
  jitterMm: Vec3,
): Vec3 | null {
  const start = [0, 1, 2].map((axis) => {
    const length = (shape[axis]! - 1) * spacingMm
    const [from, to] = [extent[0][axis]!, extent[1][axis]! - length]
    return to < from ? null : Math.min(to, Math.max(from, targetMm[axis]! + jitterMm[axis]! - length / 2))
  })
  return start.includes(null) ? null : (start as unknown as Vec3)
}

/** Resample a scan by linear interpolation to a crop: int16 HU, the first axis (right) is the fastest. */
export function cropScan(scan: Volume, startMm: Vec3, { shape, spacingMm }: StudyGrid): Int16Array {
  const [along, toVoxel] = [axesOf(scan.affine)!, invertAffine(scan.affine)]
  const first = applyAffine(toVoxel, startMm)
  const [n0, n1, n2] = scan.shape
  const strides = [n1 * n2, n2, 1]
  // for each axis of the crop: the voxels below and above each position, as offsets, and the weight of the upper one
  const steps = along.map((voxelAxis, axis) => {
    const side = [n0, n1, n2][voxelAxis]!
    const step = toVoxel[voxelAxis * 4 + axis]! * spacingMm
    const low = new Int32Array(shape[axis]!)
    const high = new Int32Array(shape[axis]!)
    const weight = new Float64Array(shape[axis]!)
    for (let at = 0; at < shape[axis]!; at++) {
      const place = Math.min(side - 1, Math.max(0, first[voxelAxis]! + at * step))
      const below = Math.min(Math.floor(place), side - 1)
      low[at] = below * strides[voxelAxis]!
      high[at] = Math.min(below + 1, side - 1) * strides[voxelAxis]!
      weight[at] = place - below
    }
    return { low, high, weight }
  })
  const [x, y, z] = steps as [(typeof steps)[0], (typeof steps)[0], (typeof steps)[0]]
  const { data } = scan
  const out = new Int16Array(shape[0] * shape[1] * shape[2])
  let to = 0
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++) {
      const corners = [
        y.low[j]! + z.low[k]!,
        y.high[j]! + z.low[k]!,
        y.low[j]! + z.high[k]!,
        y.high[j]! + z.high[k]!,
      ]
      const [c0, c1, c2, c3] = corners as [number, number, number, number]
      const [wy, wz] = [y.weight[j]!, z.weight[k]!]
      const inPlane = (at: number): number =>
        mix(mix(data[at + c0]!, data[at + c1]!, wy), mix(data[at + c2]!, data[at + c3]!, wy), wz)
      for (let i = 0; i < shape[0]; i++) {
        const value = mix(inPlane(x.low[i]!), inPlane(x.high[i]!), x.weight[i]!)
        out[to++] = Math.round(Math.min(RANGE_HU.high, Math.max(RANGE_HU.low, value)))
      }
    }
  return out
}

/** Return the mask of wanted voxels on the grid of a crop, by the nearest voxel of the label map. */
export function cropMask(
  label: Volume<VoxelArray>,
  startMm: Vec3,
  { shape, spacingMm }: StudyGrid,
  isWanted: (voxel: number) => boolean,
): Uint8Array {
  const [along, toVoxel] = [axesOf(label.affine)!, invertAffine(label.affine)]
  const first = applyAffine(toVoxel, startMm)
  const strides = [label.shape[1] * label.shape[2], label.shape[2], 1]
  const offsets = along.map((voxelAxis, axis) => {
    const step = toVoxel[voxelAxis * 4 + axis]! * spacingMm
    return Int32Array.from({ length: shape[axis]! }, (_, at) => {
      const place = Math.round(first[voxelAxis]! + at * step)
      return Math.min(label.shape[voxelAxis]! - 1, Math.max(0, place)) * strides[voxelAxis]!
    })
  })
  const [x, y, z] = offsets as [Int32Array, Int32Array, Int32Array]
  const out = new Uint8Array(shape[0] * shape[1] * shape[2])
  let to = 0
  for (const dz of z) for (const dy of y) for (const dx of x) out[to++] = Number(isWanted(dx + dy + dz))
  return out
}

/** Return a mask as pairs of start and length. */
export function runsOf(mask: Uint8Array): number[] {
  const runs: number[] = []
  for (let at = mask.indexOf(1); at >= 0; ) {
    const end = mask.indexOf(0, at)
    runs.push(at, (end < 0 ? mask.length : end) - at)
    at = end < 0 ? -1 : mask.indexOf(1, end)
  }
  return runs
}

/** Return the voxel axis along each axis of the patient; null for an oblique grid. */
function axesOf(affine: Affine): Vec3 | null {
  const axes = [0, 1, 2].map((row) => {
    const parts = [0, 1, 2].map((column) => Math.abs(affine[row * 4 + column]!))
    const largest = Math.max(...parts)
    const others = parts.filter((part) => part !== largest)
    // a tilt of 0.1 degrees moves the far end of a scan by less than a voxel
    return others.length === 2 && others.every((part) => part < largest * 0.002) ? parts.indexOf(largest) : -1
  })
  return new Set(axes).size === 3 && !axes.includes(-1) ? (axes as unknown as Vec3) : null
}

function mix(a: number, b: number, t: number): number {
  return a + (b - a) * t
}
