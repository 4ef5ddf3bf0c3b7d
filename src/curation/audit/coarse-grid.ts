import { spacingOf, toRas } from '../../volume/geometry.js'
import type { Vec3, Volume } from '../../volume/volume.js'
import type { WholeHuVolume } from './exact-hash.js'

/** Stored numbers of the lower and upper end of the soft-tissue window [-175, 250] HU. */
export interface Reading {
  readonly low: number
  readonly high: number
}

/**
 * Windowed intensities, 0 to 1, in cells along right, anterior, superior. Positions in mm count from the low
 * corner.
 */
export interface CoarseGrid {
  readonly data: Float32Array
  readonly shape: Vec3
  /** Cells tile the scan exactly, so their size differs slightly from the requested one. */
  readonly cellMm: Vec3
}

const SOFT_HU = { low: -175, high: 250 } as const
const CHEST_HU = { low: -1000, high: 500 } as const

/**
 * Return the possible meanings of the numbers of a scan: HU, HU whose intercept of -1024 was lost, or a
 * rescaled intensity window of unknown ends (then the soft-tissue window and the chest window).
 */
export function readingsOf({ data, thousandths }: WholeHuVolume): Reading[] {
  let [low, high] = [32767, -32768]
  for (let v = 0; v < data.length; v++) {
    const value = data[v]!
    if (value < low) low = value
    if (value > high) high = value
  }
  if (high === low) return []
  if (!thousandths && low < 0) return [SOFT_HU]
  if (!thousandths && high > 1200) return [{ low: SOFT_HU.low + 1024, high: SOFT_HU.high + 1024 }]
  const perHu = (high - low) / (CHEST_HU.high - CHEST_HU.low)
  const asChest = {
    low: low + (SOFT_HU.low - CHEST_HU.low) * perHu,
    high: low + (SOFT_HU.high - CHEST_HU.low) * perHu,
  }
  return [{ low, high }, asChest]
}

/** Return means over cells of about this size; each voxel counts by its part in the cell. */
export function coarseGrid(volume: WholeHuVolume, reading: Reading, cellMm: Vec3): CoarseGrid {
  const spacingMm = spacingOf(volume.affine)
  const cells = volume.shape.map((count, axis) =>
    areaWeights(count, Math.max(1, Math.round((count * spacingMm[axis]!) / cellMm[axis]!))),
  ) as [AxisCells, AxisCells, AxisCells]
  const [n0, n1, n2] = volume.shape
  const [m0, m1, m2] = cells.map(({ count }) => count) as [number, number, number]
  const alongLast = meansAlongLast(volume.data, n0 * n1, n2, cells[2], windowTable(reading))
  const alongMiddle = meansAcross(alongLast, n0, n1, m2, cells[1])
  const data = meansAcross(alongMiddle, 1, n0, m1 * m2, cells[0])
  // the affine only gives the order of the axes; the position of the scan has no influence
  const upright = toRas({ data, shape: [m0, m1, m2], affine: scaledAffine(volume, [m0, m1, m2]) })
  return { data: upright.data, shape: upright.shape, cellMm: spacingOf(upright.affine) }
}

/** Blur with a Gaussian of `sigmaCells`; places outside the grid do not count. */
export function smoothGrid(grid: CoarseGrid, sigmaCells: number): CoarseGrid {
  const [n0, n1, n2] = grid.shape
  const along = (count: number) => gaussianWeights(count, sigmaCells)
  const a = meansAcross(grid.data, n0 * n1, n2, 1, along(n2))
  const b = meansAcross(a, n0, n1, n2, along(n1))
  return { ...grid, data: meansAcross(b, 1, n0, n1 * n2, along(n0)) }
}

/** Return means over boxes of (2 radius + 1)^3 cells, clipped at the faces. */
export function boxMeans(data: Float32Array, [n0, n1, n2]: Vec3, radius: number): Float32Array {
  const a = runningMeans(data, n0 * n1, n2, 1, radius)
  const b = runningMeans(a, n0, n1, n2, radius)
  return runningMeans(b, 1, n0, n1 * n2, radius)
}

/** Old cells of each new cell of an axis. */
interface AxisCells {
  readonly count: number
  /** Old cells of new cell c: from `first[c]`, with the weights from `start[c]` to `start[c + 1]`. */
  readonly first: Int32Array
  readonly start: Int32Array
  readonly weights: Float32Array
}

function areaWeights(voxels: number, count: number): AxisCells {
  const size = voxels / count
  return cellsOf(count, (cell) => {
    const [from, to] = [cell * size, (cell + 1) * size]
    const first = Math.floor(from + 1e-6)
    const last = Math.min(voxels, Math.ceil(to - 1e-6))
    const parts = Array.from({ length: last - first }, (_, at) => {
      const voxel = first + at
      return Math.min(to, voxel + 1) - Math.max(from, voxel)
    })
    return { first, parts }
  })
}

function gaussianWeights(count: number, sigma: number): AxisCells {
  const reach = Math.ceil(3 * sigma)
  return cellsOf(count, (cell) => {
    const first = Math.max(0, cell - reach)
    const last = Math.min(count - 1, cell + reach)
    const parts = Array.from({ length: last - first + 1 }, (_, at) =>
      Math.exp(-((first + at - cell) ** 2) / (2 * sigma ** 2)),
    )
    return { first, parts }
  })
}

function cellsOf(count: number, of: (cell: number) => { first: number; parts: number[] }): AxisCells {
  const cells = Array.from({ length: count }, (_, cell) => of(cell))
  const start = new Int32Array(count + 1)
  for (const [cell, { parts }] of cells.entries()) start[cell + 1] = start[cell]! + parts.length
  const weights = cells.flatMap(({ parts }) => {
    const sum = parts.reduce((total, part) => total + part, 0)
    return parts.map((part) => part / sum)
  })
  return {
    count,
    first: Int32Array.from(cells, ({ first }) => first),
    start,
    weights: Float32Array.from(weights),
  }
}

/** Return the position of every int16 in the window, 0 to 1. */
function windowTable({ low, high }: Reading): Float32Array {
  const scale = 1 / (high - low)
  return Float32Array.from({ length: 65536 }, (_, at) => Math.max(0, Math.min(1, (at - 32768 - low) * scale)))
}

function meansAlongLast(
  hu: Int16Array,
  rows: number,
  length: number,
  { count, first, start, weights }: AxisCells,
  windowed: Float32Array,
): Float32Array {
  const out = new Float32Array(rows * count)
  let to = 0
  for (let row = 0; row < rows; row++)
    for (let cell = 0; cell < count; cell++) {
      let from = row * length + first[cell]!
      let sum = 0
      for (let w = start[cell]!; w < start[cell + 1]!; w++)
        sum += weights[w]! * windowed[hu[from++]! + 32768]!
      out[to++] = sum
    }
  return out
}

/** Return means along the middle axis of an array outer x length x inner. */
function meansAcross(
  data: Float32Array,
  outer: number,
  length: number,
  inner: number,
  { count, first, start, weights }: AxisCells,
): Float32Array {
  const out = new Float32Array(outer * count * inner)
  for (let o = 0; o < outer; o++)
    for (let cell = 0; cell < count; cell++) {
      const to = (o * count + cell) * inner
      for (let w = start[cell]!; w < start[cell + 1]!; w++) {
        const from = (o * length + first[cell]! + w - start[cell]!) * inner
        const weight = weights[w]!
        for (let n = 0; n < inner; n++) out[to + n]! += weight * data[from + n]!
      }
    }
  return out
}

function runningMeans(
  data: Float32Array,
  outer: number,
  length: number,
  inner: number,
  radius: number,
): Float32Array {
  const out = new Float32Array(data.length)
  const sums = new Float64Array(inner)
  for (let o = 0; o < outer; o++) {
    const base = o * length * inner
    sums.fill(0)
    for (let at = 0; at < Math.min(radius, length); at++)
      for (let n = 0; n < inner; n++) sums[n]! += data[base + at * inner + n]!
    for (let at = 0; at < length; at++) {
      const [enters, leaves] = [at + radius, at - radius - 1]
      if (enters < length) for (let n = 0; n < inner; n++) sums[n]! += data[base + enters * inner + n]!
      if (leaves >= 0) for (let n = 0; n < inner; n++) sums[n]! -= data[base + leaves * inner + n]!
      const count = Math.min(length - 1, enters) - Math.max(0, at - radius) + 1
      for (let n = 0; n < inner; n++) out[base + at * inner + n] = sums[n]! / count
    }
  }
  return out
}

/** Return the affine of the cells: the same directions, with steps as long as the cells. */
function scaledAffine({ affine, shape }: Volume, cells: Vec3): number[] {
  return affine.map((value, at) => {
    const column = at % 4
    return column < 3 && at < 12 ? (value * shape[column]!) / cells[column]! : value
  })
}
