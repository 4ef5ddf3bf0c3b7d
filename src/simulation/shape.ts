import type { Vec3 } from '../volume/volume.js'
import { scratchInt16, scratchInt32, scratchUint8 } from './scratch.js'
import { fillWarpMap, type PlanePart, type WarpControl } from './warp.js'

/** A mask in its own box: 0 or 1, C order. */
export interface BoxMask {
  readonly data: Uint8Array
  readonly shape: Vec3
}

/** A mask box whose voxel (0, 0, 0) lies on voxel `origin` of something larger. */
export interface PlacedMask {
  readonly box: BoxMask
  readonly origin: Vec3
}

/** Voxels low to high - 1 on each axis. */
export interface BoxPart {
  readonly low: Vec3
  readonly high: Vec3
}

/** Control values of the warps in planes (0, 1), (1, 2) and (0, 2), applied in this order. */
export type WarpControls = readonly [WarpControl, WarpControl, WarpControl]

/** Return the box in which a tumor is shaped: 4r voxels per axis, centred on voxel 2r. */
export function boxShapeOf(radii: Vec3): Vec3 {
  return [4 * radii[0], 4 * radii[1], 4 * radii[2]]
}

/**
 * Return the ellipsoid of the given radii after its three warps (docs/method.md#52-shape), trimmed to its
 * bounding box; null if no voxel of it lies in the part.
 *
 * A warp is the same for every slice along the third axis and picks nearest voxels, so the three index maps
 * compose exactly. After the first warp, each column along axis 2 is still an interval around the middle,
 * whose half width depends on (x, y) only. The other two warps only look it up. No volume except the result
 * is allocated.
 * @param part the voxels of the box to compute
 */
export function warpEllipsoid(radii: Vec3, controls: WarpControls, part: BoxPart): PlacedMask | null {
  const { low, high } = part
  if (low.some((from, axis) => from >= high[axis]!)) return null
  const columns = columnHalfWidths(radii, controls[0])
  const lookups = lookupsOfSecondWarp(radii, controls[1], part, columns)
  return lookUpVoxels(radii, controls[2], part, columns, lookups)
}

/**
 * `halfWidths` at x * ny + y: the column holds the voxels within this distance of the middle along axis 2; -1
 * for none.
 */
interface Columns {
  readonly halfWidths: Int16Array
  /** For each y, the largest half width of its columns. */
  readonly widest: Int16Array
  /** Rows and columns that contain all columns with a voxel. */
  readonly held: PlanePart
}

/** Return the columns after the warp in plane (0, 1). */
function columnHalfWidths(radii: Vec3, control: WarpControl): Columns {
  const [nx, ny] = boxShapeOf(radii)
  const [rx, ry] = radii
  const from0 = scratchInt16('shape.from0', nx * ny)
  const from1 = scratchInt16('shape.from1', nx * ny)
  const whole = { low0: 0, high0: nx, low1: 0, high1: ny }
  const ellipsoid = { low0: rx + 1, high0: 3 * rx, low1: ry + 1, high1: 3 * ry }
  fillWarpMap(control, [nx, ny], whole, ellipsoid, from0, from1)
  const unwarped = ellipsoidHalfWidths(radii)
  const halfWidths = scratchInt16('shape.halfWidths', nx * ny).fill(-1, 0, nx * ny)
  const widest = scratchInt16('shape.widest', ny).fill(-1, 0, ny)
  let [low0, high0, low1, high1] = [nx, 0, ny, 0]
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) {
      const at = x * ny + y
      if (from0[at]! < 0) continue
      const halfWidth = unwarped[Math.abs(from0[at]! - 2 * rx) * ry + Math.abs(from1[at]! - 2 * ry)]!
      if (halfWidth < 0) continue
      halfWidths[at] = halfWidth
      if (halfWidth > widest[y]!) widest[y] = halfWidth
      if (x < low0) low0 = x
      high0 = x + 1
      if (y < low1) low1 = y
      if (y >= high1) high1 = y + 1
    }
  return { halfWidths, widest, held: { low0, high0, low1, high1 } }
}

/**
 * Return the half widths of the unwarped ellipsoid at offsets dx, dy from its middle, at dx * ry + dy. A
 * voxel on the surface is outside.
 */
function ellipsoidHalfWidths([rx, ry, rz]: Vec3): Int16Array {
  const widths = scratchInt16('shape.ellipsoid', rx * ry)
  for (let dx = 0; dx < rx; dx++) {
    let dz = rz - 1
    for (let dy = 0; dy < ry; dy++) {
      const across = (dx / rx) ** 2 + (dy / ry) ** 2
      while (dz >= 0 && across + (dz / rz) ** 2 >= 1) dz--
      widths[dx * ry + dy] = dz
    }
  }
  return widths
}

// bits of the distance from the middle along axis 2 in a lookup; the row on axis 1 uses the bits above
const DISTANCE_BITS = 12
const DISTANCE_MASK = (1 << DISTANCE_BITS) - 1

interface Lookups {
  /** At y * nz + z: the source of the voxel in the warp in plane (1, 2), packed; -1 for no source. */
  readonly packed: Int32Array
  /** Rows and columns that contain all lookups other than -1. */
  readonly held: PlanePart
}

function lookupsOfSecondWarp(radii: Vec3, control: WarpControl, part: BoxPart, columns: Columns): Lookups {
  const [, ny, nz] = boxShapeOf(radii)
  const [rz, { widest, held }] = [radii[2], columns]
  const from0 = scratchInt16('shape.from0', ny * nz)
  const from1 = scratchInt16('shape.from1', ny * nz)
  const rows = { low0: part.low[1], high0: part.high[1], low1: 0, high1: nz }
  const wanted = { low0: held.low1, high0: held.high1, low1: rz + 1, high1: 3 * rz }
  fillWarpMap(control, [ny, nz], rows, wanted, from0, from1)
  const packed = scratchInt32('shape.packed', ny * nz)
  let [low0, high0, low1, high1] = [ny, 0, nz, 0]
  for (let y = rows.low0; y < rows.high0; y++)
    for (let z = 0; z < nz; z++) {
      const at = y * nz + z
      const row = from0[at]!
      const distance = Math.abs(from1[at]! - 2 * rz)
      packed[at] = -1
      if (row < 0 || distance > widest[row]!) continue
      packed[at] = (row << DISTANCE_BITS) | distance
      if (y < low0) low0 = y
      high0 = y + 1
      if (z < low1) low1 = z
      if (z >= high1) high1 = z + 1
    }
  return { packed, held: { low0, high0, low1, high1 } }
}

/** Look up every voxel of the part that can be inside after the warp in plane (0, 2). */
function lookUpVoxels(
  radii: Vec3,
  control: WarpControl,
  { low, high }: BoxPart,
  columns: Columns,
  { packed, held }: Lookups,
): PlacedMask | null {
  const [nx, ny, nz] = boxShapeOf(radii)
  const from0 = scratchInt16('shape.from0', nx * nz)
  const from1 = scratchInt16('shape.from1', nx * nz)
  const rows = { low0: low[0], high0: high[0], low1: low[2], high1: high[2] }
  const wanted = { ...columns.held, low1: held.low1, high1: held.high1 }
  fillWarpMap(control, [nx, nz], rows, wanted, from0, from1)
  // the last warp moves nothing along axis 1
  const [lowY, highY] = [held.low0, Math.max(held.low0, held.high0)]
  const shape: Vec3 = [high[0] - low[0], highY - lowY, high[2] - low[2]]
  const voxels = shape[0] * shape[1] * shape[2]
  const out = scratchUint8('shape.out', voxels).fill(0, 0, voxels)
  const bounds: Bounds = { low: [high[0], highY, high[2]], high: [low[0], lowY, low[2]] }
  const row: RowSources = {
    z: scratchInt32('shape.rowZ', nz),
    column: scratchInt32('shape.rowColumn', nz),
    fromZ: scratchInt32('shape.rowFromZ', nz),
    count: 0,
  }
  for (let x = low[0]; x < high[0]; x++) {
    row.count = 0
    for (let z = low[2]; z < high[2]; z++) {
      const fromX = from0[x * nz + z]!
      if (fromX < 0) continue
      row.z[row.count] = z
      row.column[row.count] = fromX * ny
      row.fromZ[row.count++] = from1[x * nz + z]!
    }
    for (let y = lowY; y < highY && row.count > 0; y++) {
      const outStart = ((x - low[0]) * shape[1] + y - lowY) * shape[2] - low[2]
      if (!fillRow(row, columns.halfWidths, packed, y * nz, out, outStart, bounds)) continue
      bounds.low[0] = Math.min(bounds.low[0], x)
      bounds.high[0] = x + 1
      bounds.low[1] = Math.min(bounds.low[1], y)
      bounds.high[1] = Math.max(bounds.high[1], y + 1)
    }
  }
  return bounds.high[0] > bounds.low[0] ? trimmed(out, [low[0], lowY, low[2]], shape, bounds) : null
}

/** For one x: each z that can be inside, the start of its column row, and the z of its source. */
interface RowSources {
  readonly z: Int32Array
  readonly column: Int32Array
  readonly fromZ: Int32Array
  count: number
}

interface Bounds {
  readonly low: [number, number, number]
  readonly high: [number, number, number]
}

/** Write one row along axis 2. Return true if a voxel is inside, and widen the bounds along that axis. */
function fillRow(
  row: RowSources,
  halfWidths: Int16Array,
  packed: Int32Array,
  lookupStart: number,
  out: Uint8Array,
  outStart: number,
  bounds: Bounds,
): boolean {
  const { z, column, fromZ, count } = row
  let first = -1
  let last = -1
  for (let at = 0; at < count; at++) {
    const lookup = packed[lookupStart + fromZ[at]!]!
    if (lookup < 0 || halfWidths[column[at]! + (lookup >> DISTANCE_BITS)]! < (lookup & DISTANCE_MASK))
      continue
    last = z[at]!
    if (first < 0) first = last
    out[outStart + last] = 1
  }
  if (first < 0) return false
  if (first < bounds.low[2]) bounds.low[2] = first
  if (last >= bounds.high[2]) bounds.high[2] = last + 1
  return true
}

// a call that copies a row costs as much as copying this many voxels one by one
const SHORT_ROW = 48

/** Copy the voxels within the bounds. */
function trimmed(data: Uint8Array, low: Vec3, shape: Vec3, bounds: Bounds): PlacedMask {
  const origin: Vec3 = [bounds.low[0], bounds.low[1], bounds.low[2]]
  const size: Vec3 = [bounds.high[0] - origin[0], bounds.high[1] - origin[1], bounds.high[2] - origin[2]]
  const length = size[2]
  const copy = new Uint8Array(size[0] * size[1] * length)
  let to = 0
  for (let x = origin[0] - low[0]; x < bounds.high[0] - low[0]; x++)
    for (let y = origin[1] - low[1]; y < bounds.high[1] - low[1]; y++) {
      const from = (x * shape[1] + y) * shape[2] + origin[2] - low[2]
      if (length > SHORT_ROW) copy.set(data.subarray(from, from + length), to)
      else for (let z = 0; z < length; z++) copy[to + z] = data[from + z]!
      to += length
    }
  return { box: { data: copy, shape: size }, origin }
}
