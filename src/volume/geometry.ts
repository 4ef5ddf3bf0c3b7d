import { DataError } from '../errors.js'
import type { Affine, Vec3, Volume, VoxelArray } from './volume.js'

/**
 * Tolerance for equal grids: no corner may differ by more than this fraction of a voxel. Headers are rounded;
 * masks stay.
 */
export const GRID_TOLERANCE_VOXELS = 0.1

/** A grid of voxels in physical space (mm). */
export type Grid = Pick<Volume, 'shape' | 'affine'>

/** Return the physical position (RAS mm) of a voxel position (i, j, k), which may lie between voxels. */
export function applyAffine(affine: Affine, voxel: Vec3): Vec3 {
  const [i, j, k] = voxel
  const row = (r: number) =>
    at(affine, r, 0) * i + at(affine, r, 1) * j + at(affine, r, 2) * k + at(affine, r, 3)
  return [row(0), row(1), row(2)]
}

/** Return the affine that applies `b` first, then `a`. */
export function multiplyAffines(a: Affine, b: Affine): Affine {
  return Array.from({ length: 16 }, (_, index) => {
    const row = index >> 2
    const column = index & 3
    return [0, 1, 2, 3].reduce((sum, m) => sum + at(a, row, m) * at(b, m, column), 0)
  })
}

/**
 * Return the inverse of an affine.
 * @throws DataError if the affine is not invertible
 */
export function invertAffine(affine: Affine): Affine {
  const det = determinant(affine)
  if (!Number.isFinite(det) || det === 0)
    throw new DataError('affine: not invertible', { hint: 'repair the header of the file' })
  const m = (row: number, column: number) => at(affine, row % 3, column % 3)
  // the transposed cofactors; the cyclic indices carry the signs
  const cell = (row: number, column: number) =>
    (m(column + 1, row + 1) * m(column + 2, row + 2) - m(column + 1, row + 2) * m(column + 2, row + 1)) / det
  const rows = [0, 1, 2].flatMap((row) => {
    const linear = [cell(row, 0), cell(row, 1), cell(row, 2)]
    const shift = linear.reduce((sum, value, column) => sum - value * at(affine, column, 3), 0)
    return [...linear, shift]
  })
  return [...rows, 0, 0, 0, 1]
}

/** Return the signed volume of a voxel in mm^3; negative for left-handed axes. */
export function determinant(affine: Affine): number {
  const m = (row: number, column: number) => at(affine, row, column)
  return (
    m(0, 0) * (m(1, 1) * m(2, 2) - m(1, 2) * m(2, 1)) -
    m(0, 1) * (m(1, 0) * m(2, 2) - m(1, 2) * m(2, 0)) +
    m(0, 2) * (m(1, 0) * m(2, 1) - m(1, 1) * m(2, 0))
  )
}

export function voxelVolumeMm3(affine: Affine): number {
  return Math.abs(determinant(affine))
}

/** Return the distance in mm between neighbours along each voxel axis. */
export function spacingOf(affine: Affine): Vec3 {
  const length = (column: number) =>
    Math.hypot(at(affine, 0, column), at(affine, 1, column), at(affine, 2, column))
  return [length(0), length(1), length(2)]
}

/**
 * Return the extent of a grid in mm along right, anterior and superior, from the voxel axis nearest to each.
 */
export function extentAlongWorld({ shape, affine }: Grid): Vec3 {
  const spacing = spacingOf(affine)
  const extent: [number, number, number] = [0, 0, 0]
  for (const [voxelAxis, { axis }] of worldAxes(affine).entries())
    extent[axis] = shape[voxelAxis]! * spacing[voxelAxis]!
  return extent
}

/**
 * Return the largest deviation of two voxel axes from a right angle, in degrees; 0 for a grid without shear.
 */
export function shearDegrees(affine: Affine): number {
  const spacing = spacingOf(affine)
  const pairs = [
    [0, 1],
    [0, 2],
    [1, 2],
  ] as const
  const cosines = pairs.map(([a, b]) => {
    const dot = [0, 1, 2].reduce((sum, row) => sum + at(affine, row, a) * at(affine, row, b), 0)
    return Math.abs(dot) / (spacing[a] * spacing[b])
  })
  return (Math.asin(Math.min(1, Math.max(...cosines))) * 180) / Math.PI
}

/** Return the directions of the voxel axes, as in 'RAS': the nearest anatomical direction of each axis. */
export function orientationOf(affine: Affine): string {
  const axes = worldAxes(affine)
  const letters = ['RL', 'AP', 'SI'] as const
  return axes.map(({ axis, sign }) => letters[axis]![sign > 0 ? 0 : 1]).join('')
}

/** A reordering of axes: axis n of the result is axis `source[n]`, reversed if `flip[n]`. */
export interface AxisMoves {
  readonly source: Vec3
  readonly flip: readonly [boolean, boolean, boolean]
}

export type GridComparison =
  | { readonly kind: 'same' }
  /**
   * One physical grid with axes in another order or direction; `moves` brings `other` onto the axes of
   * `reference`.
   */
  | { readonly kind: 'reoriented'; readonly moves: AxisMoves; readonly message: string }
  | { readonly kind: 'different'; readonly reasons: readonly string[] }

/** Compare two grids in physical space: the positions of their voxels, not their arrays. */
export function compareGrids(
  reference: Grid,
  other: Grid,
  toleranceVoxels = GRID_TOLERANCE_VOXELS,
): GridComparison {
  const moves = movesBetween(multiplyAffines(invertAffine(reference.affine), other.affine))
  if (!moves) return { kind: 'different', reasons: ['their axes are not parallel'] }
  const moved = moveGrid(other, moves)
  const reasons = differences(reference, moved, toleranceVoxels)
  if (reasons.length > 0) return { kind: 'different', reasons }
  if (isIdentity(moves)) return { kind: 'same' }
  const message = `${orientationOf(other.affine)} axes against ${orientationOf(reference.affine)} on one physical grid`
  return { kind: 'reoriented', moves, message }
}

/** Return true if each voxel of `b` lies on the voxel of `a` with the same index. */
export function sameGrid(a: Grid, b: Grid, toleranceVoxels = GRID_TOLERANCE_VOXELS): boolean {
  return compareGrids(a, b, toleranceVoxels).kind === 'same'
}

/**
 * Return the volume on the axes of `reference` if both lie on one physical grid; values are moved, never
 * interpolated.
 * @throws DataError that names the difference of the grids
 */
export function alignTo<T extends VoxelArray>(
  volume: Volume<T>,
  reference: Grid,
  name = 'the volume',
): Volume<T> {
  const comparison = compareGrids(reference, volume)
  if (comparison.kind === 'different')
    throw new DataError(`${name}: not on the grid of its reference: ${comparison.reasons.join('; ')}`, {
      hint: 'resample the label to its image, or repair the header that is wrong',
    })
  return comparison.kind === 'same' ? volume : moveAxes(volume, comparison.moves)
}

/** Return the volume with its axes reordered and reversed to be nearest to right, anterior, superior. */
export function toRas<T extends VoxelArray>(volume: Volume<T>): Volume<T> {
  const axes = worldAxes(volume.affine)
  const moves = invertMoves(axes.map(({ axis, sign }) => ({ target: axis, flip: sign < 0 })))
  return isIdentity(moves) ? volume : moveAxes(volume, moves)
}

/**
 * Reorder and reverse the axes of a volume. Its affine follows, so every value keeps its physical position.
 */
export function moveAxes<T extends VoxelArray>(volume: Volume<T>, moves: AxisMoves): Volume<T> {
  const { shape, affine } = moveGrid(volume, moves)
  const strides: Vec3 = [volume.shape[1] * volume.shape[2], volume.shape[2], 1]
  const [s0, s1, s2] = [0, 1, 2].map(
    (axis) => (moves.flip[axis] ? -1 : 1) * strides[moves.source[axis]!]!,
  ) as [number, number, number]
  const start = [0, 1, 2].reduce(
    (sum, axis) => sum + (moves.flip[axis] ? (shape[axis]! - 1) * strides[moves.source[axis]!]! : 0),
    0,
  )
  const data = new (volume.data.constructor as new (length: number) => T)(volume.data.length)
  let to = 0
  for (let i = 0; i < shape[0]; i++)
    for (let j = 0; j < shape[1]; j++) {
      let from = start + i * s0 + j * s1
      for (let k = 0; k < shape[2]; k++, from += s2) data[to++] = volume.data[from]!
    }
  return { data, shape, affine }
}

function moveGrid(grid: Grid, moves: AxisMoves): Grid {
  const shape = moves.source.map((axis) => grid.shape[axis]!) as [number, number, number]
  const toSource = new Array<number>(16).fill(0)
  for (const [axis, source] of moves.source.entries()) {
    toSource[source * 4 + axis] = moves.flip[axis] ? -1 : 1
    if (moves.flip[axis]) toSource[source * 4 + 3] = grid.shape[source]! - 1
  }
  toSource[15] = 1
  return { shape, affine: multiplyAffines(grid.affine, toSource) }
}

/** Return the axis moves of a voxel-to-voxel map; null if it is not near a permutation of the axes. */
function movesBetween(otherToReference: Affine): AxisMoves | null {
  const targets = [0, 1, 2].map((column) => {
    const entries = [0, 1, 2].map((row) => at(otherToReference, row, column))
    const target = entries.reduce(
      (best, value, row) => (Math.abs(value) > Math.abs(entries[best]!) ? row : best),
      0,
    )
    return { target, flip: entries[target]! < 0 }
  })
  return new Set(targets.map(({ target }) => target)).size === 3 ? invertMoves(targets) : null
}

function invertMoves(targets: readonly { target: number; flip: boolean }[]): AxisMoves {
  const source = [0, 1, 2].map((axis) => targets.findIndex(({ target }) => target === axis))
  const flip = source.map((from) => targets[from]!.flip)
  return { source: source as [number, number, number], flip: flip as [boolean, boolean, boolean] }
}

function isIdentity({ source, flip }: AxisMoves): boolean {
  return source.every((from, axis) => from === axis) && !flip.some(Boolean)
}

/** Return the differences of two grids on parallel axes; empty if they are equal. */
function differences(a: Grid, b: Grid, toleranceVoxels: number): string[] {
  const reasons: string[] = []
  if (a.shape.some((size, axis) => size !== b.shape[axis]))
    reasons.push(`shape ${a.shape.join('x')} against ${b.shape.join('x')} on the same axes`)
  const [spacingA, spacingB] = [spacingOf(a.affine), spacingOf(b.affine)]
  // a spacing error adds up along the axis, so the position of the last voxel counts
  const drift = spacingA.map(
    (mm, axis) => (Math.abs(mm - spacingB[axis]!) / mm) * Math.max(1, a.shape[axis]! - 1),
  )
  if (Math.max(...drift) > toleranceVoxels)
    reasons.push(`spacing ${format(spacingA)} mm against ${format(spacingB)} mm`)
  const toA = multiplyAffines(invertAffine(a.affine), b.affine)
  const originShift = Math.max(...applyAffine(toA, [0, 0, 0]).map(Math.abs))
  if (originShift > toleranceVoxels) {
    const [originA, originB] = [applyAffine(a.affine, [0, 0, 0]), applyAffine(b.affine, [0, 0, 0])]
    reasons.push(`first voxel at ${format(originA)} mm against ${format(originB)} mm`)
  }
  if (reasons.length === 0 && cornerShift(toA, b.shape) > toleranceVoxels)
    reasons.push(`axes turned: a corner is off by ${cornerShift(toA, b.shape).toFixed(2)} voxels`)
  return reasons
}

function cornerShift(toOther: Affine, shape: Vec3): number {
  let worst = 0
  for (let corner = 0; corner < 8; corner++) {
    const voxel = shape.map((size, axis) => ((corner >> axis) & 1 ? size - 1 : 0)) as [number, number, number]
    const found = applyAffine(toOther, voxel)
    worst = Math.max(worst, ...found.map((value, axis) => Math.abs(value - voxel[axis]!)))
  }
  return worst
}

/**
 * Return the physical axis and direction of each voxel axis. The clearest match is assigned first, so each
 * physical axis is used once.
 */
export function worldAxes(affine: Affine): { axis: number; sign: number }[] {
  const spacing = spacingOf(affine)
  const cells = [0, 1, 2].flatMap((column) =>
    [0, 1, 2].map((row) => ({ column, row, cosine: at(affine, row, column) / spacing[column]! })),
  )
  cells.sort((a, b) => Math.abs(b.cosine) - Math.abs(a.cosine))
  const found: ({ axis: number; sign: number } | undefined)[] = [undefined, undefined, undefined]
  const used = new Set<number>()
  for (const { column, row, cosine } of cells) {
    if (found[column] || used.has(row)) continue
    found[column] = { axis: row, sign: cosine < 0 ? -1 : 1 }
    used.add(row)
  }
  return found as { axis: number; sign: number }[]
}

function format(vector: Vec3): string {
  return vector.map((value) => Number(value.toFixed(3))).join(' x ')
}

function at(affine: Affine, row: number, column: number): number {
  return affine[row * 4 + column]!
}
