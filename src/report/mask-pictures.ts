import { bytes, record, rectangle, refused, text, windowHu } from './picture-file.js'
import { parseGrid } from './pictures.js'
import type { SliceGrid } from './slice-view.js'

/**
 * One slice of a scan (or of its organs, in grey) with the tumor of label and masks: one byte a pixel, rows
 * from the top.
 */
export interface MaskPlane extends SliceGrid {
  readonly image: Uint8Array
  /** 1 inside, 0 outside. */
  readonly truth: Uint8Array
  readonly predicted: Uint8Array
  /** The mask of the comparison; null without one. */
  readonly against: Uint8Array | null
}

export interface WholeSlice extends MaskPlane {
  /** Left, top, width and height in mm of the axial square that `planes` enlarges; null if unknown. */
  readonly frameMm: readonly [number, number, number, number] | null
}

export interface MaskPicture {
  readonly caseId: string
  /** Null if there is no scan. */
  readonly windowHu: readonly [number, number] | null
  readonly planes: readonly MaskPlane[]
  /** The whole axial slice through the same place; null in files of earlier versions. */
  readonly whole: WholeSlice | null
}

/**
 * Parse a file of `pictures/` of an evaluation, as written by the runtime.
 * @throws DataError that names the file and the wrong part
 */
export function parseMaskPicture(file: string, value: unknown): MaskPicture {
  const picture = record(file, value, 'the file')
  const { planes, whole } = picture
  if (!Array.isArray(planes) || planes.length === 0) throw refused(file, 'planes', 'at least one plane')
  return {
    caseId: text(file, picture, 'case'),
    windowHu: windowHu(file, picture),
    planes: planes.map((one, at) => parsePlane(file, one, `planes[${at}]`)),
    whole:
      whole === undefined
        ? null
        : {
            ...parsePlane(file, whole, 'whole'),
            frameMm: rectangle(file, record(file, whole, 'whole'), 'frameMm'),
          },
  }
}

function parsePlane(file: string, value: unknown, where: string): MaskPlane {
  const plane = record(file, value, where)
  const grid = parseGrid(file, plane)
  const pixels = (key: string): Uint8Array => bytes(file, plane, key, grid.width * grid.height)
  return {
    ...grid,
    image: pixels('image'),
    truth: pixels('truth'),
    predicted: pixels('predicted'),
    against: plane.against === undefined ? null : pixels('against'),
  }
}
