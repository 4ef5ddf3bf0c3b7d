import type { RandomStream } from './random.js'

/** Number of control points along each side of a warp's plane. */
const GRID = 3
const COMPONENT = GRID * GRID

/**
 * Displacements in voxels at the 3 x 3 control points of a plane, C order [component, i, j]. Component 0
 * moves along the first axis of the plane, component 1 along the second. 18 values.
 */
export type WarpControl = ArrayLike<number>

/** Draw the control values of one warp: normal, with a standard deviation per component in voxels. */
export function drawWarpControl(sigmas: readonly [number, number], random: RandomStream): WarpControl {
  const control: number[] = []
  for (let at = 0; at < 2 * COMPONENT; at++)
    control.push((at < COMPONENT ? sigmas[0] : sigmas[1]) * random.normal())
  return control
}

/** Rows low0 to high0 - 1 and columns low1 to high1 - 1 of a plane. */
export interface PlanePart {
  readonly low0: number
  readonly high0: number
  readonly low1: number
  readonly high1: number
}

// the largest sum of absolute weights of a blend is 1.19; the remainder covers rounding to the nearest voxel
const OVERSHOOT = 1.2
const blended = new Float64Array(2 * GRID)

/**
 * Compute the source of each voxel of a plane of `sides` (docs/method.md#52-shape): source = floor(voxel +
 * field + 0.5). Only the part is written, at `row * sides[1] + column`. If a source lies outside the plane or
 * outside `wanted`, `from0` is -1 and `from1` stays unset. Few wanted voxels cost little: rows and columns
 * too far from them are skipped.
 */
export function fillWarpMap(
  control: WarpControl,
  [n0, n1]: readonly [number, number],
  { low0, high0, low1, high1 }: PlanePart,
  wanted: PlanePart,
  from0: Int16Array,
  from1: Int16Array,
): void {
  const weights0 = splineWeights(n0)
  const weights1 = splineWeights(n1)
  from0.fill(-1, low0 * n1, high0 * n1)
  for (let i = low0; i < high0; i++) {
    blendRows(control, weights0, i, blended)
    const [a0, a1, a2] = [blended[0]!, blended[1]!, blended[2]!]
    const reach0 = reachOf(a0, a1, a2)
    if (i + reach0 < wanted.low0 || i - reach0 >= wanted.high0) continue
    const [b0, b1, b2] = [blended[3]!, blended[4]!, blended[5]!]
    const reach1 = reachOf(b0, b1, b2)
    const end = Math.min(high1, wanted.high1 + reach1)
    for (let j = Math.max(low1, wanted.low1 - reach1); j < end; j++) {
      const w0 = weights1[3 * j]!
      const w1 = weights1[3 * j + 1]!
      const w2 = weights1[3 * j + 2]!
      const at0 = i + (w0 * a0 + w1 * a1 + w2 * a2)
      const source0 = Math.floor(at0 + 0.5)
      if (source0 < wanted.low0 || source0 >= wanted.high0 || at0 < 0 || at0 > n0 - 1) continue
      const at1 = j + (w0 * b0 + w1 * b1 + w2 * b2)
      const source1 = Math.floor(at1 + 0.5)
      if (source1 < wanted.low1 || source1 >= wanted.high1 || at1 < 0 || at1 > n1 - 1) continue
      from0[i * n1 + j] = source0
      from1[i * n1 + j] = source1
    }
  }
}

/** Return the largest distance, in voxels and rounded up, that a blend of the three displacements moves. */
function reachOf(a: number, b: number, c: number): number {
  return Math.ceil(OVERSHOOT * Math.max(Math.abs(a), Math.abs(b), Math.abs(c))) + 1
}

/** Blend the control grid along the first axis of the plane at voxel i: three values of each component. */
function blendRows(control: WarpControl, weights: Float64Array, i: number, row: Float64Array): void {
  for (let component = 0; component < 2; component++)
    for (let j = 0; j < GRID; j++) {
      const at = component * COMPONENT + j
      row[component * GRID + j] =
        weights[3 * i]! * control[at]! +
        weights[3 * i + 1]! * control[at + GRID]! +
        weights[3 * i + 2]! * control[at + 2 * GRID]!
    }
}

const weightsOfLength = new Map<number, Float64Array>()

/**
 * Return the weights of the three control values for each of n voxels: the interpolating cubic B-spline with
 * control points at coordinates 0, 1, 2 and whole-sample mirror, voxel i at 2i / (n - 1).
 */
function splineWeights(n: number): Float64Array {
  const known = weightsOfLength.get(n)
  if (known) return known
  const weights = new Float64Array(3 * n)
  for (let i = 0; i < n; i++) {
    const t = (2 * i) / (n - 1)
    // basis of the spline's coefficients; the mirror adds those of points -1 and 3 to the middle one
    const b0 = cubicBSpline(t)
    const b1 = cubicBSpline(t + 1) + cubicBSpline(t - 1) + cubicBSpline(t - 3)
    const b2 = cubicBSpline(t - 2)
    // coefficients that pass through the control values: the inverse of [4 2 0; 1 4 1; 0 2 4] / 6
    weights[3 * i] = 1.75 * b0 - 0.5 * b1 + 0.25 * b2
    weights[3 * i + 1] = -b0 + 2 * b1 - b2
    weights[3 * i + 2] = 0.25 * b0 - 0.5 * b1 + 1.75 * b2
  }
  weightsOfLength.set(n, weights)
  return weights
}

function cubicBSpline(t: number): number {
  const distance = Math.abs(t)
  if (distance >= 2) return 0
  if (distance >= 1) return (2 - distance) ** 3 / 6
  return 2 / 3 - distance ** 2 + distance ** 3 / 2
}
