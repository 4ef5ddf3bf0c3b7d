import type { AxisMoves, Grid, GridComparison } from '../../volume/geometry.js'
import type { NiftiHeader } from '../../volume/nifti-header.js'
import type { Vec3, VoxelArray } from '../../volume/volume.js'

/** An image on which a label can be placed in several ways. */
export interface PlacedImage {
  readonly values: VoxelArray
  readonly grid: Grid
  readonly rescale: Pick<NiftiHeader, 'slope' | 'inter'>
}

/** Return the placement of the label on its image by the two headers; null if the grids differ. */
export function statedMoves(compared: GridComparison): AxisMoves | null {
  if (compared.kind === 'different') return null
  return compared.kind === 'same' ? IDENTITY : compared.moves
}

const IDENTITY: AxisMoves = { source: [0, 1, 2], flip: [false, false, false] }
const ORDERS: readonly Vec3[] = [
  [0, 1, 2],
  [1, 0, 2],
  [0, 2, 1],
  [2, 1, 0],
  [1, 2, 0],
  [2, 0, 1],
]

/** Return every placement of the label's array on the image's array. */
export function alternatives(label: Vec3, image: Vec3): AxisMoves[] {
  const orders = ORDERS.filter((source) => source.every((from, axis) => label[from] === image[axis]))
  return orders.flatMap((source) =>
    [0, 1, 2, 3, 4, 5, 6, 7].map(
      (bits): AxisMoves => ({ source, flip: [(bits & 1) > 0, (bits & 2) > 0, (bits & 4) > 0] }),
    ),
  )
}

/**
 * Return a function from the index of a voxel in the label's array to its HU in the image.
 * @param shape of the label
 */
export function huReader(
  [, ny, nz]: Vec3,
  { values, grid, rescale }: PlacedImage,
  { source, flip }: AxisMoves,
): (n: number) => number {
  const strides: Vec3 = [grid.shape[1] * grid.shape[2], grid.shape[2], 1]
  const steps = [0, 0, 0]
  let first = 0
  for (const [axis, from] of source.entries()) {
    steps[from] = flip[axis] ? -strides[axis]! : strides[axis]!
    if (flip[axis]) first += (grid.shape[axis]! - 1) * strides[axis]!
  }
  const [si, sj, sk] = steps as [number, number, number]
  return (n) => {
    const row = Math.floor(n / nz)
    const at = first + Math.floor(row / ny) * si + (row % ny) * sj + (n % nz) * sk
    return values[at]! * rescale.slope + rescale.inter
  }
}

export function meanAndSpread(values: Float64Array): { text: string; spread: number } {
  const mean = values.reduce((sum, hu) => sum + hu, 0) / values.length
  const variance = values.reduce((sum, hu) => sum + (hu - mean) ** 2, 0) / values.length
  const spread = Math.sqrt(variance)
  return { text: `${Math.round(mean)} +- ${Math.round(spread)}`, spread }
}

/**
 * Describe how two placements differ. Axes are named in the order of the file, which is the reverse of the
 * array's.
 */
export function difference(stated: AxisMoves, found: AxisMoves): string {
  const exchanged = found.source.some((from, axis) => from !== stated.source[axis])
  const reversed = [2, 1, 0]
    .filter((axis) => found.flip[axis] !== stated.flip[axis])
    .map((axis) => ORDINALS[2 - axis]!)
  const parts = [
    ...(reversed.length > 0 ? [`the ${reversed.join(' and ')} axis of the image reversed`] : []),
    ...(exchanged ? ['axes exchanged'] : []),
  ]
  return parts.join(' and ')
}

const ORDINALS = ['first', 'second', 'third'] as const
