import { bytes, number, pixelMm, record, refused, sides, text, whole, windowHu } from './picture-file.js'
import type { SliceGrid } from './slice-view.js'

/** One slice before and after painting: one byte a pixel, rows from the top. */
export interface TumorPlane extends SliceGrid {
  /** Windowed intensity, 0 to 255. */
  readonly host: Uint8Array
  readonly synthetic: Uint8Array
  /** 1 inside the synthetic tumor. */
  readonly mask: Uint8Array
}

/** A slice with a tumor, real or synthetic. */
export interface TumorSlice extends SliceGrid {
  /** Windowed intensity, 0 to 255. */
  readonly image: Uint8Array
  /** 1 inside the tumor. */
  readonly mask: Uint8Array
}

interface Facts {
  /** Origin, as displayed. */
  readonly where: string
  readonly organ: string
  /** Diameter of the sphere with the volume of the tumor; null if unknown. */
  readonly diameterMm: number | null
  readonly windowHu: readonly [number, number] | null
}

/** A synthetic tumor in one or three planes. */
export interface TumorPicture extends Facts {
  readonly kind: 'synthetic'
  /** `spread`: one of those spread over a training; `example`: one of the first of its organ, size and verdict. */
  readonly choice: 'spread' | 'example'
  /** Name of the attempt in its ledger. */
  readonly attempt: string
  /** Verdict, if the picture file holds one. */
  readonly verdict: string | null
  readonly size: string
  /** Detected fraction, 0 to 1; null without a baseline. */
  readonly shareSeen: number | null
  readonly planes: readonly TumorPlane[]
  /** The whole axial slice of the scan; null if the file has none. */
  readonly whole: TumorSlice | null
}

/** A real tumor in one plane. */
export interface RealTumor extends Facts {
  readonly kind: 'real'
  readonly plane: TumorSlice
}

type Source = Readonly<Record<string, unknown>>

/**
 * Parse a file of `pictures/`, as written by the runtime.
 * @throws DataError that names the file and the wrong part
 */
export function parseTumorPicture(file: string, value: unknown): TumorPicture | RealTumor {
  const picture = record(file, value, 'the file')
  const planes = picture.planes
  if (!Array.isArray(planes) || planes.length === 0) throw refused(file, 'planes', 'at least one plane')
  const facts = {
    organ: text(file, picture, 'organ'),
    diameterMm: picture.diameterMm === undefined ? null : number(file, picture, 'diameterMm'),
    windowHu: windowHu(file, picture),
  }
  if (picture.kind === 'real') {
    const where =
      picture.case === undefined ? `step ${whole(file, picture, 'step') + 1}` : text(file, picture, 'case')
    const plane = parseSlice(file, record(file, planes[0], 'planes[0]'), 'host')
    return { kind: 'real', where, ...facts, plane }
  }
  return {
    kind: 'synthetic',
    ...(picture.case === undefined ? ofTraining(file, picture) : ofCase(file, picture)),
    ...facts,
    size: text(file, picture, 'size'),
    shareSeen: picture.shareSeen === null ? null : number(file, picture, 'shareSeen'),
    planes: planes.map((plane, at) => parsePlane(file, record(file, plane, `planes[${at}]`))),
    whole:
      picture.whole === undefined ? null : parseSlice(file, record(file, picture.whole, 'whole'), 'image'),
  }
}

/** Return the name of an attempt in the ledger of a training or of an offline synthesis. */
export function attemptOf(
  line:
    | { readonly step: number; readonly item: number; readonly crop: number }
    | {
        readonly case: string
        readonly variant: number
        readonly tumor: number
        readonly attempt: number
      },
): string {
  return 'step' in line
    ? `${line.step}/${line.item}/${line.crop}`
    : `${line.case}/${line.variant}/${line.tumor}/${line.attempt}`
}

type Origin = Pick<TumorPicture, 'attempt' | 'where' | 'verdict' | 'choice'>

function ofTraining(file: string, picture: Source): Origin {
  const [step, item, crop] = [
    whole(file, picture, 'step'),
    whole(file, picture, 'item'),
    whole(file, picture, 'crop'),
  ]
  return {
    attempt: attemptOf({ step, item, crop }),
    where: `step ${step + 1}`,
    verdict: picture.verdict === 'accepted' || picture.verdict === 'rejected' ? picture.verdict : null,
    choice: picture.kind === 'tumor' ? 'example' : 'spread',
  }
}

function ofCase(file: string, picture: Source): Origin {
  const name = text(file, picture, 'case')
  const [variant, tumor, attempt] = [
    whole(file, picture, 'variant'),
    whole(file, picture, 'tumor'),
    whole(file, picture, 'attempt'),
  ]
  return {
    attempt: attemptOf({ case: name, variant, tumor, attempt }),
    where: `${name}, variant ${variant}, tumor ${tumor}, attempt ${attempt + 1}`,
    verdict: text(file, picture, 'verdict') === 'accepted' ? 'accepted' : 'rejected',
    choice: 'example',
  }
}

function parsePlane(file: string, plane: Source): TumorPlane {
  const grid = parseGrid(file, plane)
  const pixels = (key: string): Uint8Array => bytes(file, plane, key, grid.width * grid.height)
  return { ...grid, host: pixels('host'), synthetic: pixels('synthetic'), mask: pixels('mask') }
}

function parseSlice(file: string, plane: Source, image: string): TumorSlice {
  const grid = parseGrid(file, plane)
  const pixels = (key: string): Uint8Array => bytes(file, plane, key, grid.width * grid.height)
  return { ...grid, image: pixels(image), mask: pixels('mask') }
}

/** Return name, sides and pixel size of a plane of a picture file. */
export function parseGrid(file: string, plane: Source): SliceGrid {
  return { name: text(file, plane, 'name'), ...sides(file, plane), pixelMm: pixelMm(file, plane) }
}
