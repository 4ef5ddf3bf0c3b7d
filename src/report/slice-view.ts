import { escapeHtml } from './escape-html.js'
import { encodePng } from './png.js'

/** Sides of a slice in pixels; rows from the top. */
export interface SliceGrid {
  /** `axial`, `coronal` or `sagittal`; it decides the side marks. */
  readonly name: string
  readonly width: number
  readonly height: number
  /** Width and height of a pixel in mm; null if unknown: square pixels, and no scale bar. */
  readonly pixelMm: readonly [number, number] | null
}

/** A mask that is drawn as an outline; its colour is in the style sheet. */
export interface Outline {
  readonly look: 'tumor' | 'truth' | 'predicted' | 'against'
  /** 1 inside, 0 outside. */
  readonly mask: Uint8Array
}

export interface SliceView {
  readonly grid: SliceGrid
  /** Grey values, one byte a pixel. */
  readonly gray: Uint8Array
  /** Printed below the picture; may be empty. */
  readonly title: string
  /** Replaces the picture for readers who cannot see it. */
  readonly alt: string
  readonly outlines?: readonly Outline[]
  /** Left, top, width and height in mm of a part that another view enlarges. */
  readonly frameMm?: readonly [number, number, number, number] | null
}

/** Sides of the body at the left, right, top and bottom of a slice, as radiologists look at it. */
const MARKS: ReadonlyMap<string, readonly string[]> = new Map([
  ['axial', ['R', 'L', 'A', 'P']],
  ['coronal', ['R', 'L', 'S', 'I']],
  ['sagittal', ['A', 'P', 'S', 'I']],
])
const BARS_MM = [1, 2, 5, 10, 20, 50, 100]
/** Largest share of the width that the scale bar takes. */
const BAR_SHARE = 0.32

/** Explains the marks and bars of the views, for the head of a section. */
export const VIEW_NOTE =
  'Sides: R right, L left, A anterior, P posterior, S superior, I inferior. The bar is a length in mm.'

/** Return slices side by side. The first of several with the same sides has the side marks and the scale bar. */
export function sliceRow(views: readonly SliceView[], look = ''): string {
  // side marks and scale bar once for neighbours that show the same place at the same scale
  const isNew = ({ grid }: SliceView, at: number): boolean => {
    const before = views[at - 1]?.grid
    const key = (one: SliceGrid): string => [one.name, one.width, one.height, ...(one.pixelMm ?? [])].join()
    return before === undefined || key(before) !== key(grid)
  }
  const drawn = views.map((view, at) => sliceView(view, isNew(view, at)))
  return `<div class="slices${look === '' ? '' : ` ${look}`}">${drawn.join('')}</div>`
}

/** Return a slice with outlines, side marks and scale bar. Its size on the page is fixed before it is drawn. */
function sliceView(
  { grid, gray, title, alt, outlines = [], frameMm = null }: SliceView,
  withMarks: boolean,
): string {
  const { width, height } = grid
  const [across, down] = grid.pixelMm ?? [1, 1]
  const [w, h] = [rounded(width * across), rounded(height * down)]
  const png = encodePng({ width, height, rgb: inThreeChannels(gray) }).toString('base64')
  const paths = outlines.map(({ look, mask }) => {
    const path = outlinePath(mask, width, height)
    return path === '' ? '' : `<path class="outline ${look}" d="${path}"/>`
  })
  const frame = frameMm === null ? '' : rectangleAt(frameMm.map(rounded))
  return `<div class="slice"><div class="ground"><svg viewBox="0 0 ${w} ${h}" role="img" aria-label="${escapeHtml(alt)}"><g transform="scale(${rounded(across)} ${rounded(down)})"><image width="${width}" height="${height}" preserveAspectRatio="none" href="data:image/png;base64,${png}"/>${paths.join('')}</g>${frame}</svg>${withMarks ? marks(grid) : ''}</div>${title === '' ? '' : `<p aria-hidden="true">${escapeHtml(title)}</p>`}</div>`
}

function rectangleAt([left, top, width, height]: readonly number[]): string {
  return `<rect class="outline frame" x="${left}" y="${top}" width="${width}" height="${height}"/>`
}

function marks({ name, width, pixelMm }: SliceGrid): string {
  const letters = sideMarks(name).map((letter, at) => `<i class="side${at}">${letter}</i>`)
  const bar = pixelMm === null ? '' : scaleBar(width * pixelMm[0])
  return `<div aria-hidden="true">${letters.join('')}${bar}</div>`
}

/** Return the sides of the body at the left, right, top and bottom of a plane; none for an unknown plane. */
export function sideMarks(plane: string): readonly string[] {
  return MARKS.get(plane) ?? []
}

function scaleBar(widthMm: number): string {
  const length = barLengthMm(widthMm)
  if (length === null) return ''
  return `<i class="bar-mm" style="width:${((100 * length) / widthMm).toFixed(1)}%">${length} mm</i>`
}

/** Return the length of the scale bar of a view; null if no bar fits. */
export function barLengthMm(widthMm: number): number | null {
  return BARS_MM.findLast((mm) => mm <= BAR_SHARE * widthMm) ?? null
}

/** Return the border of a mask as an SVG path along the sides of its pixels, in pixels. */
export function outlinePath(mask: Uint8Array, width: number, height: number): string {
  const inside = (x: number, y: number): boolean =>
    x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] === 1
  const parts: string[] = []
  // neighbouring sides of pixels are joined to one line
  for (let y = 0; y <= height; y++)
    for (let x = 0; x < width; x++) {
      if (inside(x, y) === inside(x, y - 1)) continue
      const start = x
      while (x < width && inside(x, y) !== inside(x, y - 1)) x++
      parts.push(`M${start} ${y}h${x - start}`)
    }
  for (let x = 0; x <= width; x++)
    for (let y = 0; y < height; y++) {
      if (inside(x, y) === inside(x - 1, y)) continue
      const start = y
      while (y < height && inside(x, y) !== inside(x - 1, y)) y++
      parts.push(`M${x} ${start}v${y - start}`)
    }
  return parts.join('')
}

/** Return the window in HU as text; empty if unknown. */
export function windowText(windowHu: readonly [number, number] | null): string {
  const shown = (hu: number): string => `${hu < 0 ? '−' : ''}${Math.abs(hu)}`
  return windowHu === null ? '' : `window ${shown(windowHu[0])} to ${shown(windowHu[1])} HU`
}

/** Return a part of a slice, one byte a pixel; black outside the slice. */
export function cutOut(
  pixels: Uint8Array,
  grid: SliceGrid,
  { x, y, width, height }: { readonly x: number; readonly y: number; width: number; height: number },
): Uint8Array {
  const cut = new Uint8Array(width * height)
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const [fromX, fromY] = [x + column, y + row]
      if (fromX >= 0 && fromY >= 0 && fromX < grid.width && fromY < grid.height)
        cut[row * width + column] = pixels[fromY * grid.width + fromX]!
    }
  return cut
}

function inThreeChannels(gray: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(3 * gray.length)
  for (let at = 0; at < gray.length; at++) rgb.fill(gray[at]!, 3 * at, 3 * at + 3)
  return rgb
}

/** Shorten a length, so that the page has no invisible digits. */
function rounded(value: number): number {
  return Number(value.toFixed(3))
}
