import { type Colour, drawGray, drawOutline } from './drawing.js'
import { bytes, number, record, refused, sides, text, whole } from './picture-file.js'
import { encodePng, type Raster } from './png.js'

/** One slice of a crop before and after painting: one byte a pixel, rows from the top. */
export interface TumorPlane {
  readonly name: string
  readonly width: number
  readonly height: number
  /** Windowed intensity, 0 to 255. */
  readonly host: Uint8Array
  readonly synthetic: Uint8Array
  /** 1 inside the synthetic tumor. */
  readonly mask: Uint8Array
}

/** An example of a synthetic tumor in one or three planes. */
export interface TumorPicture {
  /** Name of the attempt in its ledger. */
  readonly attempt: string
  /** Origin, as displayed. */
  readonly where: string
  /** Verdict, if the picture file holds one. */
  readonly verdict: string | null
  readonly organ: string
  readonly size: string
  /** Detected fraction, 0 to 1; null without a baseline. */
  readonly shareSeen: number | null
  readonly planes: readonly TumorPlane[]
}

/** Pixels are enlarged to squares until a panel is about this wide. */
const PANEL_WIDTH = 190
const GAP = 6
const PANELS = 4
const OUTLINE: Colour = [255, 190, 0]

/**
 * Parse a file of `pictures/`, as written by the runtime.
 * @throws DataError that names the file and the wrong part
 */
export function parseTumorPicture(file: string, value: unknown): TumorPicture {
  const picture = record(file, value, 'the file')
  const planes = picture.planes
  if (!Array.isArray(planes) || planes.length === 0) throw refused(file, 'planes', 'at least one plane')
  return {
    ...(picture.case === undefined ? ofTraining(file, picture) : ofCase(file, picture)),
    organ: text(file, picture, 'organ'),
    size: text(file, picture, 'size'),
    shareSeen: picture.shareSeen === null ? null : number(file, picture, 'shareSeen'),
    planes: planes.map((plane, at) => parsePlane(file, record(file, plane, `planes[${at}]`))),
  }
}

/** Return the name of an attempt in the ledger of a training. */
export function attemptOf(line: {
  readonly step: number
  readonly item: number
  readonly crop: number
}): string {
  return `${line.step}/${line.item}/${line.crop}`
}

type Origin = Pick<TumorPicture, 'attempt' | 'where' | 'verdict'>

function ofTraining(file: string, picture: Readonly<Record<string, unknown>>): Origin {
  const [step, item, crop] = [
    whole(file, picture, 'step'),
    whole(file, picture, 'item'),
    whole(file, picture, 'crop'),
  ]
  return { attempt: attemptOf({ step, item, crop }), where: `step ${step + 1}`, verdict: null }
}

function ofCase(file: string, picture: Readonly<Record<string, unknown>>): Origin {
  const name = text(file, picture, 'case')
  const [variant, tumor, attempt] = [
    whole(file, picture, 'variant'),
    whole(file, picture, 'tumor'),
    whole(file, picture, 'attempt'),
  ]
  return {
    attempt: `${name}/${variant}/${tumor}/${attempt}`,
    where: `${name}, variant ${variant}, tumor ${tumor}, attempt ${attempt + 1}`,
    verdict: text(file, picture, 'verdict') === 'accepted' ? 'accepted' : 'rejected',
  }
}

/**
 * Return a PNG with one row per plane: host, synthetic, difference, and synthetic with the tumor outlined.
 * Grey values are those of the intensity window; the difference is doubled around mid-grey.
 */
export function tumorPng(planes: readonly TumorPlane[]): Buffer {
  const scale = Math.max(1, Math.ceil(PANEL_WIDTH / Math.max(...planes.map(({ width }) => width))))
  const panelWidth = scale * Math.max(...planes.map(({ width }) => width))
  const heights = planes.map(({ height }) => height * scale)
  const raster: Raster = {
    width: PANELS * panelWidth + (PANELS - 1) * GAP,
    height: heights.reduce((sum, height) => sum + height, GAP * (planes.length - 1)),
    rgb: new Uint8Array(
      3 *
        (PANELS * panelWidth + (PANELS - 1) * GAP) *
        heights.reduce((sum, height) => sum + height, GAP * (planes.length - 1)),
    ),
  }
  let top = 0
  planes.forEach((plane, at) => {
    const column = (panel: number): number => panel * (panelWidth + GAP)
    drawGray(raster, plane, plane.host, column(0), top, scale)
    drawGray(raster, plane, plane.synthetic, column(1), top, scale)
    drawGray(raster, plane, difference(plane), column(2), top, scale)
    drawGray(raster, plane, plane.synthetic, column(3), top, scale)
    drawOutline(raster, { ...plane, colour: OUTLINE }, column(3), top, scale)
    top += heights[at]! + GAP
  })
  return encodePng(raster)
}

function difference({ host, synthetic }: TumorPlane): Uint8Array {
  return host.map((before, at) => Math.max(0, Math.min(255, 128 + 2 * (synthetic[at]! - before))))
}

function parsePlane(file: string, plane: Readonly<Record<string, unknown>>): TumorPlane {
  const { width, height } = sides(file, plane)
  const pixels = (key: string): Uint8Array => bytes(file, plane, key, width * height)
  return {
    name: text(file, plane, 'name'),
    width,
    height,
    host: pixels('host'),
    synthetic: pixels('synthetic'),
    mask: pixels('mask'),
  }
}
