import type { Vec3 } from '../volume/volume.js'
import { scratchInt16, scratchInt32, scratchUint8 } from './scratch.js'
import { fillWarpMap, type WarpControl } from './warp.js'

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

/** The box that a tumor is shaped in: 4r voxels an axis, centred on voxel 2r. */
export function boxShapeOf(radii: Vec3): Vec3 {
  return [4 * radii[0], 4 * radii[1], 4 * radii[2]]
}

/**
 * The ellipsoid of the given radii after its three warps (METHOD 5.2), trimmed to its bounding box; null when no voxel of
 * it lies in the part.
 *
 * A warp is the same for every slice along the third axis and picks nearest voxels, so the three index maps compose
 * exactly: after the first warp each column along axis 2 still is an interval about the middle, of a half width that
 * depends on (x, y) only; the other two warps only look it up. No volume but the result is ever made.
 * @param part the voxels of the box that are wanted
 */
export function warpEllipsoid(radii: Vec3, controls: WarpControls, part: BoxPart): PlacedMask | null {
  const { low, high } = part
  if (low.some((from, axis) => from >= high[axis]!)) return null
  const columns = columnHalfWidths(radii, controls[0])
  const lookups = lookupsOfSecondWarp(radii, controls[1], part, columns)
  return lookUpVoxels(radii, controls[2], part, columns, lookups)
}

/** `halfWidths` at x * ny + y: the column's voxels are those within it of the middle along axis 2; -1 for none. */
interface Columns {
  readonly halfWidths: Int16Array
  readonly hasRow: Uint8Array
}

/** After the warp in plane (0, 1). */
function columnHalfWidths(radii: Vec3, control: WarpControl): Columns {
  const [nx, ny] = boxShapeOf(radii)
  const from0 = scratchInt16('shape.from0', nx * ny)
  const from1 = scratchInt16('shape.from1', nx * ny)
  fillWarpMap(control, { n0: nx, n1: ny, low0: 0, high0: nx, low1: 0, high1: ny }, from0, from1)
  const ellipsoid = ellipsoidHalfWidths(radii)
  const halfWidths = scratchInt16('shape.halfWidths', nx * ny)
  const hasRow = scratchUint8('shape.hasRow', nx).fill(0, 0, nx)
  const [rx, ry] = radii
  for (let at = 0; at < nx * ny; at++) {
    halfWidths[at] = -1
    if (from0[at]! < 0) continue
    const dx = Math.abs(from0[at]! - 2 * rx)
    const dy = Math.abs(from1[at]! - 2 * ry)
    if (dx >= rx || dy >= ry) continue
    const halfWidth = ellipsoid[dx * ry + dy]!
    halfWidths[at] = halfWidth
    if (halfWidth >= 0) hasRow[Math.floor(at / ny)] = 1
  }
  return { halfWidths, hasRow }
}

/** Of the unwarped ellipsoid at offsets dx, dy from its middle, at dx * ry + dy; a voxel on the surface is outside. */
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

// Bits of the distance from the middle along axis 2 in a lookup; the row on axis 1 stands above them.
const DISTANCE_BITS = 12
const DISTANCE_MASK = (1 << DISTANCE_BITS) - 1

interface Lookups {
  /** At y * nz + z: where the warp in plane (1, 2) takes the voxel from, packed; -1 where nothing can be. */
  readonly packed: Int32Array
  readonly hasRow: Uint8Array
  readonly hasColumn: Uint8Array
}

function lookupsOfSecondWarp(radii: Vec3, control: WarpControl, part: BoxPart, columns: Columns): Lookups {
  const [nx, ny, nz] = boxShapeOf(radii)
  const from0 = scratchInt16('shape.from0', ny * nz)
  const from1 = scratchInt16('shape.from1', ny * nz)
  const [low0, high0] = [part.low[1], part.high[1]]
  fillWarpMap(control, { n0: ny, n1: nz, low0, high0, low1: 0, high1: nz }, from0, from1)
  const widest = widestColumns(columns.halfWidths, nx, ny)
  const packed = scratchInt32('shape.packed', ny * nz)
  const hasRow = scratchUint8('shape.lookupRow', ny).fill(0, 0, ny)
  const hasColumn = scratchUint8('shape.lookupColumn', nz).fill(0, 0, nz)
  for (let y = low0; y < high0; y++)
    for (let z = 0; z < nz; z++) {
      const at = y * nz + z
      const row = from0[at]!
      const distance = Math.abs(from1[at]! - 2 * radii[2])
      const isPossible = row >= 0 && distance <= widest[row]!
      packed[at] = isPossible ? (row << DISTANCE_BITS) | distance : -1
      if (isPossible) hasRow[y] = hasColumn[z] = 1
    }
  return { packed, hasRow, hasColumn }
}

/** For each y the largest half width of its columns. */
function widestColumns(halfWidths: Int16Array, nx: number, ny: number): Int16Array {
  const widest = scratchInt16('shape.widest', ny).fill(-1, 0, ny)
  for (let x = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) {
      const halfWidth = halfWidths[x * ny + y]!
      if (halfWidth > widest[y]!) widest[y] = halfWidth
    }
  return widest
}

/** After the warp in plane (0, 2): every voxel of the part that can be inside is looked up. */
function lookUpVoxels(
  radii: Vec3,
  control: WarpControl,
  { low, high }: BoxPart,
  columns: Columns,
  lookups: Lookups,
): PlacedMask | null {
  const [nx, ny, nz] = boxShapeOf(radii)
  const from0 = scratchInt16('shape.from0', nx * nz)
  const from1 = scratchInt16('shape.from1', nx * nz)
  const plane = { n0: nx, n1: nz, low0: low[0], high0: high[0], low1: low[2], high1: high[2] }
  fillWarpMap(control, plane, from0, from1)
  const shape: Vec3 = [high[0] - low[0], high[1] - low[1], high[2] - low[2]]
  const voxels = shape[0] * shape[1] * shape[2]
  const out = scratchUint8('shape.out', voxels).fill(0, 0, voxels)
  const bounds: Bounds = { low: [...high], high: [...low] }
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
      const fromZ = from1[x * nz + z]!
      if (fromX < 0 || columns.hasRow[fromX] === 0 || lookups.hasColumn[fromZ] === 0) continue
      row.z[row.count] = z
      row.column[row.count] = fromX * ny
      row.fromZ[row.count++] = fromZ
    }
    for (let y = low[1]; y < high[1] && row.count > 0; y++) {
      if (lookups.hasRow[y] === 0) continue
      const outStart = ((x - low[0]) * shape[1] + y - low[1]) * shape[2] - low[2]
      if (!fillRow(row, columns.halfWidths, lookups.packed, y * nz, out, outStart, bounds)) continue
      bounds.low[0] = Math.min(bounds.low[0], x)
      bounds.high[0] = x + 1
      bounds.low[1] = Math.min(bounds.low[1], y)
      bounds.high[1] = Math.max(bounds.high[1], y + 1)
    }
  }
  return bounds.high[0] > bounds.low[0] ? trimmed(out, low, shape, bounds) : null
}

/** Of one x: the z that can be inside, and for each the start of the column row and the z that it takes its value from. */
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

/** Writes one row along axis 2; true when a voxel is inside, and then the bounds along that axis hold it. */
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

/** A copy of what lies within the bounds. */
function trimmed(data: Uint8Array, low: Vec3, shape: Vec3, bounds: Bounds): PlacedMask {
  const origin: Vec3 = [bounds.low[0], bounds.low[1], bounds.low[2]]
  const size: Vec3 = [bounds.high[0] - origin[0], bounds.high[1] - origin[1], bounds.high[2] - origin[2]]
  const copy = new Uint8Array(size[0] * size[1] * size[2])
  let to = 0
  for (let x = origin[0] - low[0]; x < bounds.high[0] - low[0]; x++)
    for (let y = origin[1] - low[1]; y < bounds.high[1] - low[1]; y++) {
      const from = (x * shape[1] + y) * shape[2] + origin[2] - low[2]
      copy.set(data.subarray(from, from + size[2]), to)
      to += size[2]
    }
  return { box: { data: copy, shape: size }, origin }
}
