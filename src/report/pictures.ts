import type { Raster } from './png.js'

/** A slice of a crop before and after painting, as the runtime writes it (`pictures/*.json`). */
export interface TumorSlice {
  readonly step: number
  readonly item: number
  readonly crop: number
  readonly organ: string
  readonly size: string
  readonly shareSeen: number
  readonly width: number
  readonly height: number
  /** Base64 of one byte a pixel: windowed intensity 0 to 255, and 1 inside the synthetic tumor. */
  readonly host: string
  readonly synthetic: string
  readonly mask: string
}

const GAP = 4
const OUTLINE = [255, 176, 32] as const

/** Host, synthetic, and synthetic with the tumor's outline, side by side and enlarged. */
export function tumorPanels(picture: TumorSlice, scale = 4): Raster {
  const { width, height } = picture
  const [host, synthetic, mask] = [picture.host, picture.synthetic, picture.mask].map((text) =>
    Buffer.from(text, 'base64'),
  ) as [Buffer, Buffer, Buffer]
  const full = { width: (3 * width + 2 * GAP) * scale, height: height * scale }
  const rgb = new Uint8Array(3 * full.width * full.height).fill(255)
  const paint = (panel: number, gray: Buffer, outline: boolean): void => {
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const value = gray[y * width + x] ?? 0
        const edge = outline && isEdge(mask, x, y, width, height)
        const colour = edge ? OUTLINE : [value, value, value]
        fill(rgb, full.width, (panel * (width + GAP) + x) * scale, y * scale, scale, colour)
      }
  }
  paint(0, host, false)
  paint(1, synthetic, false)
  paint(2, synthetic, true)
  return { ...full, rgb }
}

/** Outside the mask, but beside it. */
function isEdge(mask: Buffer, x: number, y: number, width: number, height: number): boolean {
  const inside = (i: number, j: number): boolean =>
    i >= 0 && j >= 0 && i < width && j < height && mask[j * width + i] === 1
  return !inside(x, y) && (inside(x - 1, y) || inside(x + 1, y) || inside(x, y - 1) || inside(x, y + 1))
}

function fill(
  rgb: Uint8Array,
  width: number,
  left: number,
  top: number,
  side: number,
  colour: readonly number[],
): void {
  for (let y = top; y < top + side; y++)
    for (let x = left; x < left + side; x++) rgb.set(colour, 3 * (y * width + x))
}
