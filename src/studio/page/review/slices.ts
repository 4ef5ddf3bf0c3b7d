import type { Affine, Vec3 } from '../../../volume/volume.js'
import type { LoadedVolume } from './volume.js'

/** A plane as radiologists look at it: the patient's right is on the left, the head is up, the front is up or left. */
export interface Plane {
  readonly name: 'axial' | 'coronal' | 'sagittal'
  /** Physical axis (0 to 2) and direction of a step to the right, of a step down, and of the next slice. */
  readonly right: readonly [axis: number, sign: 1 | -1]
  readonly down: readonly [axis: number, sign: 1 | -1]
  readonly through: number
  /** Marks at the left, right, upper and lower edge. */
  readonly marks: readonly [left: string, right: string, top: string, bottom: string]
}

export const PLANES: readonly Plane[] = [
  { name: 'axial', right: [0, -1], down: [1, -1], through: 2, marks: ['R', 'L', 'A', 'P'] },
  { name: 'coronal', right: [0, -1], down: [2, -1], through: 1, marks: ['R', 'L', 'S', 'I'] },
  { name: 'sagittal', right: [1, -1], down: [2, -1], through: 0, marks: ['A', 'P', 'S', 'I'] },
]

/** A rectangle in a plane: the content of a view. */
export interface Sight {
  readonly plane: Plane
  /** RAS millimetres of the middle of the view. Along the plane's normal, it is the slice. */
  readonly centreMm: Vec3
  readonly mmPerPixel: number
  readonly width: number
  readonly height: number
}

/** Return the position of a pixel's middle in millimetres. */
export function toMm({ plane, centreMm, mmPerPixel, width, height }: Sight, x: number, y: number): Vec3 {
  const mm: [number, number, number] = [...centreMm]
  mm[plane.right[0]]! += (x - width / 2) * mmPerPixel * plane.right[1]
  mm[plane.down[0]]! += (y - height / 2) * mmPerPixel * plane.down[1]
  return mm
}

/** Return where a position lies in a view, in pixels. */
export function toPixel({ plane, centreMm, mmPerPixel, width, height }: Sight, mm: Vec3): [number, number] {
  const along = ([axis, sign]: readonly [number, 1 | -1]): number =>
    ((mm[axis]! - centreMm[axis]!) * sign) / mmPerPixel
  return [along(plane.right) + width / 2, along(plane.down) + height / 2]
}

/** Affine from pixels (x, y) to voxels of a volume: voxel = origin + x * right + y * down. */
interface Steps {
  readonly origin: Vec3
  readonly right: Vec3
  readonly down: Vec3
  /** Voxel axis that lies closest to the normal of the plane. */
  readonly normal: number
}

function stepsOf(volume: LoadedVolume, sight: Sight): Steps {
  const { plane, mmPerPixel } = sight
  const column = (axis: number, factor: number): Vec3 => {
    const at = (row: number): number => volume.toVoxel[row * 4 + axis]! * factor
    return [at(0), at(1), at(2)]
  }
  const through = column(plane.through, 1).map(Math.abs)
  return {
    origin: apply(volume.toVoxel, toMm(sight, 0.5, 0.5)),
    right: column(plane.right[0], plane.right[1] * mmPerPixel),
    down: column(plane.down[0], plane.down[1] * mmPerPixel),
    normal: through.indexOf(Math.max(...through)),
  }
}

/** Value of pixels outside a volume. */
export const OUTSIDE = Number.NEGATIVE_INFINITY

/**
 * Sample a volume at the pixels of a view: linear in the plane, nearest across it; `nearest` in all directions for labels.
 * Works for any grid. Pixels outside are `OUTSIDE`.
 */
export function sample(volume: LoadedVolume, sight: Sight, out: Float32Array, nearest: boolean): void {
  const { voxels, shape, slope, inter } = volume
  const { origin, right, down, normal } = stepsOf(volume, sight)
  const strides = [1, shape[0], shape[0] * shape[1]]
  const [p, q] = [0, 1, 2].filter((axis) => axis !== normal) as [number, number]
  const [np, nq, nn] = [shape[p]!, shape[q]!, shape[normal]!]
  const [sp, sq, sn] = [strides[p]!, strides[q]!, strides[normal]!]
  const { width, height } = sight
  let at = 0
  for (let y = 0; y < height; y++) {
    let fp = origin[p]! + y * down[p]!
    let fq = origin[q]! + y * down[q]!
    let fn = origin[normal]! + y * down[normal]!
    for (let x = 0; x < width; x++, at++, fp += right[p]!, fq += right[q]!, fn += right[normal]!) {
      const n = Math.round(fn)
      // half a voxel around the outer ones belongs to them
      if (n < 0 || n >= nn || fp < -0.5 || fq < -0.5 || fp >= np - 0.5 || fq >= nq - 0.5) {
        out[at] = OUTSIDE
        continue
      }
      const base = n * sn
      if (nearest) {
        out[at] = voxels[base + Math.round(fp) * sp + Math.round(fq) * sq]! * slope + inter
        continue
      }
      const cp = fp < 0 ? 0 : Math.min(fp, np - 1)
      const cq = fq < 0 ? 0 : Math.min(fq, nq - 1)
      const ip = cp | 0
      const iq = cq | 0
      const wp = cp - ip
      const wq = cq - iq
      const from = base + ip * sp + iq * sq
      const stepP = ip < np - 1 ? sp : 0
      const stepQ = iq < nq - 1 ? sq : 0
      const upper = voxels[from]! * (1 - wp) + voxels[from + stepP]! * wp
      const lower = voxels[from + stepQ]! * (1 - wp) + voxels[from + stepP + stepQ]! * wp
      out[at] = (upper * (1 - wq) + lower * wq) * slope + inter
    }
  }
}

/** Return the value of the nearest voxel; null outside. */
export function valueAt({ voxels, shape, toVoxel, slope, inter }: LoadedVolume, mm: Vec3): number | null {
  const [i, j, k] = apply(toVoxel, mm).map(Math.round) as [number, number, number]
  if (i < 0 || j < 0 || k < 0 || i >= shape[0] || j >= shape[1] || k >= shape[2]) return null
  return voxels[i + shape[0] * (j + shape[1] * k)]! * slope + inter
}

/** Return the lowest and the highest position of a volume along each physical axis, voxel edges included. */
export function extentOf({ shape, affine }: Pick<LoadedVolume, 'shape' | 'affine'>): readonly [Vec3, Vec3] {
  const low: [number, number, number] = [Infinity, Infinity, Infinity]
  const high: [number, number, number] = [-Infinity, -Infinity, -Infinity]
  for (let corner = 0; corner < 8; corner++) {
    const voxel = [0, 1, 2].map((axis) => (corner & (1 << axis) ? shape[axis]! - 0.5 : -0.5))
    for (const [axis, mm] of apply(affine, voxel as unknown as Vec3).entries()) {
      low[axis] = Math.min(low[axis]!, mm)
      high[axis] = Math.max(high[axis]!, mm)
    }
  }
  return [low, high]
}

/** Return the length of a scale bar: 1, 2 or 5 times a power of ten, at most `mostMm`. */
export function scaleBarMm(mostMm: number): number {
  const power = 10 ** Math.floor(Math.log10(mostMm))
  return power * (mostMm / power >= 5 ? 5 : mostMm / power >= 2 ? 2 : 1)
}

/** Return the distance between slices of a volume along a physical axis. */
export function sliceStepMm({ affine, spacingMm }: LoadedVolume, axis: number): number {
  const cosines = spacingMm.map((mm, column) => Math.abs(affine[axis * 4 + column]!) / mm)
  return spacingMm[cosines.indexOf(Math.max(...cosines))]!
}

export function apply(affine: Affine, [x, y, z]: Vec3): Vec3 {
  const row = (at: number): number =>
    affine[at]! * x + affine[at + 1]! * y + affine[at + 2]! * z + affine[at + 3]!
  return [row(0), row(4), row(8)]
}
