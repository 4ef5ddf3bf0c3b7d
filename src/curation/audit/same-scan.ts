import { spacingOf, toRas } from '../../volume/geometry.js'
import type { Vec3 } from '../../volume/volume.js'
import { boxMeans, type CoarseGrid, coarseGrid, type Reading, smoothGrid } from './coarse-grid.js'
import type { WholeHuVolume } from './exact-hash.js'

/** A scan with the meaning of its numbers. */
export interface ReadScan {
  readonly volume: WholeHuVolume
  readonly reading: Reading
}

export interface ScanComparison {
  /**
   * Mean correlation of the finest structure in even tissue; near 1 for copies, near 0 for other scans. Null:
   * too little even tissue.
   */
  readonly noiseCorrelation: number | null
  /** Position of the low corner of b in a, in mm. */
  readonly offsetMm: Vec3
}

/**
 * Copies reach 0.85 after resampling to 8 mm slices. Phantoms of one template stay below 0.5, other patients
 * below 0.1.
 */
export const SAME_SCAN_CORRELATION = 0.7

const FINEST_CELL_MM = 2
const MAX_BLOCK_CELLS = 96
const RADIUS_CELLS = 2
/** Fraction of the cells inside the window that count as even tissue: those with the least noise. */
const QUIET_SHARE = 0.2
const MIN_QUIET_CELLS = 20
const FIRST_STEP_MM = 2
const LAST_STEP_MM = 0.25

/**
 * Compare two scans by their noise, not by their looks (every liver looks alike). Both are resampled to the
 * coarser of their grids, aligned, high-pass filtered, and compared where tissue is even.
 * @param offsetMm approximate position of the low corner of b in a, from landmarks
 */
export function compareScans(a: ReadScan, b: ReadScan, offsetMm: Vec3): ScanComparison {
  const spacings = [a, b].map(({ volume }) => rasSpacing(volume))
  const cellMm = [0, 1, 2].map((axis) => Math.max(FINEST_CELL_MM, spacings[0]![axis]!, spacings[1]![axis]!))
  const [gridA, gridB] = [a, b].map(({ volume, reading }) =>
    smoothGrid(coarseGrid(volume, reading, cellMm as unknown as Vec3), 0.7),
  ) as [CoarseGrid, CoarseGrid]
  const aligned = align(gridA, gridB, offsetMm)
  const block = overlap(gridA, gridB, aligned, 1)
  return { noiseCorrelation: block ? noiseCorrelation(block) : null, offsetMm: aligned }
}

function rasSpacing(volume: WholeHuVolume): Vec3 {
  return spacingOf(toRas({ data: new Uint8Array(0), shape: volume.shape, affine: volume.affine }).affine)
}

/** Climb from the given offset to the best correlation, one axis at a time, in steps of 2 to 1/4 mm. */
function align(a: CoarseGrid, b: CoarseGrid, start: Vec3): Vec3 {
  const at = (offset: Vec3): number => {
    const block = overlap(a, b, offset, 2)
    return block ? correlation(block) : -1
  }
  let [offset, best] = [start, at(start)]
  for (let step = FIRST_STEP_MM; step >= LAST_STEP_MM; ) {
    let moved = false
    for (const axis of [0, 1, 2])
      for (const change of [-step, step]) {
        const next = offset.map((mm, of) => (of === axis ? mm + change : mm)) as unknown as Vec3
        const found = at(next)
        if (found > best) [best, offset, moved] = [found, next, true]
      }
    if (!moved) step /= 2
  }
  return offset
}

/** The same places of both scans, in the cells of a. */
interface Block {
  readonly a: Float32Array
  readonly b: Float32Array
  readonly shape: Vec3
}

/**
 * Return the middle of the overlap of both scans, every `stride`-th cell; null if the overlap is too small.
 */
function overlap(a: CoarseGrid, b: CoarseGrid, offsetMm: Vec3, stride: number): Block | null {
  const axes = [0, 1, 2].map((axis) => overlapAxis(a, b, offsetMm, axis as 0 | 1 | 2, stride))
  if (axes.some((axis) => axis.length * stride < 2 * RADIUS_CELLS)) return null
  const [is, js, ks] = axes as [AxisSample[], AxisSample[], AxisSample[]]
  const shape: Vec3 = [is.length, js.length, ks.length]
  const block = {
    a: new Float32Array(is.length * js.length * ks.length),
    b: new Float32Array(is.length * js.length * ks.length),
    shape,
  }
  const [strideI, strideJ] = [b.shape[1] * b.shape[2], b.shape[2]]
  const nextK = b.shape[2] > 1 ? 1 : 0
  const nextJ = b.shape[1] > 1 ? strideJ : 0
  const nextI = b.shape[0] > 1 ? strideI : 0
  const { data } = b
  let to = 0
  for (const i of is)
    for (const j of js) {
      const rowA = (i.a * a.shape[1] + j.a) * a.shape[2]
      const rowB = i.b * strideI + j.b * strideJ
      for (const k of ks) {
        const v = rowB + k.b
        const line = (from: number): number => data[from]! + (data[from + nextK]! - data[from]!) * k.part
        const near = line(v) + (line(v + nextJ) - line(v)) * j.part
        const far = line(v + nextI) + (line(v + nextI + nextJ) - line(v + nextI)) * j.part
        block.a[to] = a.data[rowA + k.a]!
        block.b[to++] = near + (far - near) * i.part
      }
    }
  return block
}

/** A cell of a, and its position between cells of b. */
interface AxisSample {
  readonly a: number
  readonly b: number
  readonly part: number
}

function overlapAxis(
  a: CoarseGrid,
  b: CoarseGrid,
  offsetMm: Vec3,
  axis: 0 | 1 | 2,
  stride: number,
): AxisSample[] {
  const samples: AxisSample[] = []
  for (let cell = 0; cell < a.shape[axis]; cell++) {
    const inB = ((cell + 0.5) * a.cellMm[axis] - offsetMm[axis]) / b.cellMm[axis] - 0.5
    const low = Math.min(Math.floor(inB), b.shape[axis] - 2)
    if (inB < 0 || inB > b.shape[axis] - 1) continue
    samples.push({ a: cell, b: Math.max(0, low), part: inB - Math.max(0, low) })
  }
  const skip = Math.max(0, Math.floor((samples.length - MAX_BLOCK_CELLS) / 2))
  return samples.slice(skip, skip + MAX_BLOCK_CELLS).filter((_, at) => at % stride === 0)
}

function correlation({ a, b }: Block): number {
  let [sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0]
  for (let v = 0; v < a.length; v++) {
    const [x, y] = [a[v]!, b[v]!]
    sumA += x
    sumB += y
    sumAA += x * x
    sumBB += y * y
    sumAB += x * y
  }
  const n = a.length
  const spread = Math.sqrt((sumAA - (sumA * sumA) / n) * (sumBB - (sumB * sumB) / n))
  return spread > 0 ? (sumAB - (sumA * sumB) / n) / spread : -1
}

/**
 * Return the mean local correlation of both scans, minus their local means, in the cells of tissue with the
 * least noise.
 */
function noiseCorrelation({ a, b, shape }: Block): number | null {
  const [meanA, meanB] = [boxMeans(a, shape, RADIUS_CELLS), boxMeans(b, shape, RADIUS_CELLS)]
  const fineA = a.map((value, v) => value - meanA[v]!)
  const fineB = b.map((value, v) => value - meanB[v]!)
  const product = (x: Float32Array, y: Float32Array) =>
    boxMeans(
      x.map((value, v) => value * y[v]!),
      shape,
      RADIUS_CELLS,
    )
  const [varianceA, varianceB, covariance] = [
    product(fineA, fineA),
    product(fineB, fineB),
    product(fineA, fineB),
  ]
  const tissue: number[] = []
  for (let v = 0; v < a.length; v++)
    if (isTissue(meanA[v]!) && isTissue(meanB[v]!) && varianceA[v]! > 1e-7 && varianceB[v]! > 1e-7)
      tissue.push(v)
  const quiet = tissue.sort((v, w) => varianceA[v]! - varianceA[w]!).slice(0, QUIET_SHARE * tissue.length)
  if (quiet.length < MIN_QUIET_CELLS) return null
  const sum = quiet.reduce((total, v) => total + covariance[v]! / Math.sqrt(varianceA[v]! * varianceB[v]!), 0)
  return sum / quiet.length
}

/**
 * Return true for tissue: neither fat at the lower end of the window nor bone at its upper end, in any
 * reading.
 */
function isTissue(mean: number): boolean {
  return mean > 0.22 && mean < 0.93
}
