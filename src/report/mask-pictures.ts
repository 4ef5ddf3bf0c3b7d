import { type Colour, drawGray, drawOutline } from './drawing.js'
import { bytes, record, refused, sides, text } from './picture-file.js'
import { encodePng, type Raster } from './png.js'

/**
 * One slice of a scan (or of its organs, in grey) with the tumor of label and mask: one byte a pixel, rows
 * from the top.
 */
export interface MaskPlane {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly image: Uint8Array
  /** 1 inside, 0 outside. */
  readonly truth: Uint8Array
  readonly predicted: Uint8Array
}

export interface MaskPicture {
  readonly caseId: string
  readonly planes: readonly MaskPlane[]
}

const SCALE = 2
const GAP = 6
const TRUTH: Colour = [60, 200, 120]
const PREDICTED: Colour = [255, 140, 0]

/**
 * Parse a file of `pictures/` of an evaluation, as written by the runtime.
 * @throws DataError that names the file and the wrong part
 */
export function parseMaskPicture(file: string, value: unknown): MaskPicture {
  const picture = record(file, value, 'the file')
  const { planes } = picture
  if (!Array.isArray(planes) || planes.length === 0) throw refused(file, 'planes', 'at least one plane')
  return {
    caseId: text(file, picture, 'case'),
    planes: planes.map((one, at) => {
      const plane = record(file, one, `planes[${at}]`)
      const { width, height } = sides(file, plane)
      const pixels = (key: string): Uint8Array => bytes(file, plane, key, width * height)
      return {
        name: text(file, plane, 'name'),
        width,
        height,
        image: pixels('image'),
        truth: pixels('truth'),
        predicted: pixels('predicted'),
      }
    }),
  }
}

/** Return a PNG with the planes side by side, the label outlined in green and the mask in orange. */
export function maskPng(planes: readonly MaskPlane[]): Buffer {
  const width = planes.reduce((sum, plane) => sum + SCALE * plane.width, GAP * (planes.length - 1))
  const height = SCALE * Math.max(...planes.map((plane) => plane.height))
  const raster: Raster = { width, height, rgb: new Uint8Array(3 * width * height) }
  let left = 0
  for (const plane of planes) {
    drawGray(raster, plane, plane.image, left, 0, SCALE)
    drawOutline(raster, { ...plane, mask: plane.truth, colour: TRUTH }, left, 0, SCALE)
    drawOutline(raster, { ...plane, mask: plane.predicted, colour: PREDICTED }, left, 0, SCALE)
    left += SCALE * plane.width + GAP
  }
  return encodePng(raster)
}
