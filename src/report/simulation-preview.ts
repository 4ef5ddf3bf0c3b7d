import { encodePng, type Raster } from './png.js'

type Three = readonly [number, number, number]
type Plane = readonly [0 | 1, 1 | 2]

/** A label map and the organ in it. */
export interface PreviewGrid {
  readonly shape: Three
  readonly spacingMm: Three
  /** C order. */
  readonly label: Uint8Array
  readonly organLabel: number
}

/** A mask in a box of the grid. */
export interface PreviewTumor {
  readonly size: 'tiny' | 'small' | 'medium' | 'large'
  readonly origin: Three
  readonly shape: Three
  /** 0 or 1, C order. */
  readonly data: Uint8Array
}

/** Tiny to large: light to dark, so that colour-blind readers can distinguish them. */
export const SIZE_COLORS = {
  tiny: [255, 221, 87],
  small: [255, 149, 43],
  medium: [224, 68, 96],
  large: [126, 58, 196],
} as const

const LONGEST_SIDE = 360
const GAP = 8
const BACKGROUND = 24
// n overlapping tumors of one size have the opacity 1 - (1 - x)^n.
const OPACITY = 0.45
const PLANES: readonly Plane[] = [
  [0, 1],
  [0, 2],
  [1, 2],
]

/** Return a PNG: projections of the organ and of all tumors along each axis, side by side, to scale in mm. */
export function previewPng(grid: PreviewGrid, tumors: readonly PreviewTumor[]): Buffer {
  const longest = Math.max(...grid.shape.map((side, axis) => side * grid.spacingMm[axis]!))
  const pixelsPerMm = LONGEST_SIDE / longest
  const panels = PLANES.map((plane) =>
    scaled(project(grid, tumors, plane), plane, grid.spacingMm, pixelsPerMm),
  )
  const width = panels.reduce((sum, panel) => sum + panel.width + GAP, -GAP)
  const height = Math.max(...panels.map((panel) => panel.height))
  const rgb = new Uint8Array(3 * width * height).fill(BACKGROUND)
  let left = 0
  for (const panel of panels) {
    for (let y = 0; y < panel.height; y++)
      rgb.set(panel.rgb.subarray(3 * y * panel.width, 3 * (y + 1) * panel.width), 3 * (y * width + left))
    left += panel.width + GAP
  }
  return encodePng({ width, height, rgb })
}

function project(
  { label, shape, organLabel }: PreviewGrid,
  tumors: readonly PreviewTumor[],
  plane: Plane,
): Raster {
  const [u, v] = plane
  const [width, height] = [shape[u], shape[v]]
  const depth = depthOf(shape, plane, (at) => label[at] === organLabel)
  const deepest = depth.reduce((most, count) => Math.max(most, count), 1)
  const pixels = Float64Array.from({ length: 3 * depth.length }, (_, at) => {
    const count = depth[Math.floor(at / 3)]!
    return count === 0 ? BACKGROUND : 60 + (150 * count) / deepest
  })
  for (const tumor of tumors) paint(pixels, width, tumor, plane)
  // Rows from the top: the second axis of the plane goes up.
  const rgb = new Uint8Array(pixels.length)
  for (let y = 0; y < height; y++)
    rgb.set(pixels.subarray(3 * (height - 1 - y) * width, 3 * (height - y) * width), 3 * y * width)
  return { width, height, rgb }
}

/** Count the mask voxels behind each pixel; the first axis of the plane is the fastest. */
function depthOf(shape: Three, [u, v]: Plane, isIn: (at: number) => boolean): Uint32Array {
  const depth = new Uint32Array(shape[u] * shape[v])
  const step = [0, 0, 0]
  step[u] = 1
  step[v] = shape[u]
  const [stepX, stepY, stepZ] = step as unknown as Three
  let at = 0
  for (let x = 0; x < shape[0]; x++)
    for (let y = 0; y < shape[1]; y++)
      for (let z = 0; z < shape[2]; z++, at++) if (isIn(at)) depth[x * stepX + y * stepY + z * stepZ]!++
  return depth
}

function paint(
  pixels: Float64Array,
  width: number,
  { size, data, shape, origin }: PreviewTumor,
  plane: Plane,
): void {
  const [u, v] = plane
  const depth = depthOf(shape, plane, (at) => data[at] === 1)
  for (const [place, count] of depth.entries()) {
    if (count === 0) continue
    const row = Math.floor(place / shape[u]) + origin[v]
    const pixel = row * width + (place % shape[u]) + origin[u]
    for (const [channel, value] of SIZE_COLORS[size].entries()) {
      const at = 3 * pixel + channel
      pixels[at] = pixels[at]! + OPACITY * (value - pixels[at]!)
    }
  }
}

/** Resample to square pixels in mm, nearest neighbour. */
function scaled(
  { width, height, rgb }: Raster,
  [u, v]: Plane,
  spacingMm: Three,
  pixelsPerMm: number,
): Raster {
  const size = (voxels: number, axis: number) =>
    Math.max(1, Math.round(voxels * spacingMm[axis]! * pixelsPerMm))
  const [wide, high] = [size(width, u), size(height, v)]
  const out = new Uint8Array(3 * wide * high)
  for (let y = 0; y < high; y++)
    for (let x = 0; x < wide; x++) {
      const from =
        3 * (Math.floor(((y + 0.5) * height) / high) * width + Math.floor(((x + 0.5) * width) / wide))
      out.set(rgb.subarray(from, from + 3), 3 * (y * wide + x))
    }
  return { width: wide, height: high, rgb: out }
}
