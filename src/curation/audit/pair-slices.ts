import type { Vec3 } from '../../volume/volume.js'
import { type CoarseGrid, coarseGrid } from './coarse-grid.js'
import type { ReadScan } from './same-scan.js'

/** One plane of two scans: one byte a pixel, rows from the top, in anatomical position. */
export interface SlicePair {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly a: Uint8Array
  /** 0 outside the second scan. */
  readonly b: Uint8Array
}

const PIXEL_MM = 2
/** Anatomical axes of each plane: across, up, through. */
const PLANES: readonly { readonly name: string; readonly axes: Vec3 }[] = [
  { name: 'axial', axes: [0, 1, 2] },
  { name: 'coronal', axes: [0, 2, 1] },
  { name: 'sagittal', axes: [1, 2, 0] },
]

/**
 * Return three planes through the middle of the overlap of both scans, the second aligned to the first.
 * @param offsetMm position of the low corner of b in a; null aligns the centres
 */
export function slicePairs(a: ReadScan, b: ReadScan, offsetMm: Vec3 | null): SlicePair[] {
  const [gridA, gridB] = [a, b].map(({ volume, reading }) =>
    coarseGrid(volume, reading, [PIXEL_MM, PIXEL_MM, PIXEL_MM]),
  ) as [CoarseGrid, CoarseGrid]
  const [sizeA, sizeB] = [gridA, gridB].map(({ shape, cellMm }) =>
    shape.map((n, axis) => n * cellMm[axis]!),
  ) as [number[], number[]]
  const offset = offsetMm ?? ([0, 1, 2].map((axis) => (sizeA[axis]! - sizeB[axis]!) / 2) as unknown as Vec3)
  const middle = [0, 1, 2].map((axis) => {
    const low = Math.max(0, offset[axis]!)
    const high = Math.min(sizeA[axis]!, offset[axis]! + sizeB[axis]!)
    return (low + high) / 2
  }) as unknown as Vec3
  return PLANES.map(({ name, axes }) => {
    const [across, up] = axes
    const [width, height] = [gridA.shape[across]!, gridA.shape[up]!]
    const draw = (grid: CoarseGrid, cornerMm: Vec3) =>
      slice(width, height, (x, y) => {
        const mm: [number, number, number] = [...middle]
        mm[across] = (x + 0.5) * gridA.cellMm[across]!
        mm[up] = (height - y - 0.5) * gridA.cellMm[up]!
        return valueAt(grid, mm.map((value, axis) => value - cornerMm[axis]!) as unknown as Vec3)
      })
    return { name, width, height, a: draw(gridA, [0, 0, 0]), b: draw(gridB, offset) }
  })
}

function slice(width: number, height: number, value: (x: number, y: number) => number): Uint8Array {
  const pixels = new Uint8Array(width * height)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) pixels[y * width + x] = Math.round(255 * value(x, y))
  return pixels
}

function valueAt({ data, shape, cellMm }: CoarseGrid, mm: Vec3): number {
  const [i, j, k] = mm.map((value, axis) => Math.floor(value / cellMm[axis]!)) as [number, number, number]
  const inside = i >= 0 && j >= 0 && k >= 0 && i < shape[0] && j < shape[1] && k < shape[2]
  return inside ? data[(i * shape[1] + j) * shape[2] + k]! : 0
}
