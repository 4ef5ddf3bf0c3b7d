import type { Raster } from './png.js'

export type Colour = readonly [red: number, green: number, blue: number]

interface Size {
  readonly width: number
  readonly height: number
}

/** Draw grey pixels as squares of `scale` pixels, rows from the top. */
export function drawGray(
  raster: Raster,
  { width, height }: Size,
  gray: Uint8Array,
  left: number,
  top: number,
  scale: number,
): void {
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const value = gray[y * width + x]!
      fill(raster, left + x * scale, top + y * scale, scale, scale, [value, value, value])
    }
}

/** Draw thin lines just inside the border of the mask, so that the tumor stays visible. */
export function drawOutline(
  raster: Raster,
  { width, height, mask, colour }: Size & { readonly mask: Uint8Array; readonly colour: Colour },
  left: number,
  top: number,
  scale: number,
): void {
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1
  const thick = Math.max(1, Math.floor(scale / 4))
  const far = scale - thick
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (!inside(x, y)) continue
      const [x0, y0] = [left + x * scale, top + y * scale]
      if (!inside(x - 1, y)) fill(raster, x0, y0, thick, scale, colour)
      if (!inside(x + 1, y)) fill(raster, x0 + far, y0, thick, scale, colour)
      if (!inside(x, y - 1)) fill(raster, x0, y0, scale, thick, colour)
      if (!inside(x, y + 1)) fill(raster, x0, y0 + far, scale, thick, colour)
    }
}

function fill(
  raster: Raster,
  left: number,
  top: number,
  width: number,
  height: number,
  colour: Colour,
): void {
  for (let y = top; y < top + height; y++)
    for (let x = left; x < left + width; x++) raster.rgb.set(colour, 3 * (y * raster.width + x))
}
