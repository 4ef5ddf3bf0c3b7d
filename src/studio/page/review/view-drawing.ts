import type { Vec3 } from '../../../volume/volume.js'
import type { LabelName, LayerRole, Place } from '../../review/messages.js'
import { make } from '../dom.js'
import {
  coloursOf,
  ERRORS,
  type PaintColour,
  type Pixels,
  paintDifference,
  paintErrors,
  paintLabels,
  paintOutline,
  paintScan,
  TUMOR,
  tumorTest,
} from './paint.js'
import type { Panel } from './panels.js'
import { type Sight, sample, scaleBarMm, toPixel, valueAt } from './slices.js'
import type { LoadedVolume } from './volume.js'
import { DIFFERENCE_HU, type HuWindow } from './windows.js'

const RING = 'rgb(255 190 0)'
const CROSS = 'rgb(94 196 255 / 85%)'

/** One item in the viewer. */
export interface Shown {
  /** Number of the item. */
  readonly at: number
  readonly volumes: ReadonlyMap<LayerRole, LoadedVolume>
  readonly missing: ReadonlyMap<LayerRole, { readonly message: string; readonly hint: string }>
  readonly labels: readonly LabelName[]
  readonly place: Place | null
  /** Value of the shown tumor in the volume `tumors`; null: all tumors are equal. */
  readonly tumorId: number | null
  /** Position in the second scan minus position in the first one. */
  readonly shiftMm: Vec3 | null
}

/** Settings of all views. */
export interface Look {
  readonly window: HuWindow
  /** The host is in the place of the synthetic scan. */
  readonly isBlinked: boolean
  readonly isOutlined: boolean
}

/** Fill the pixels of a view with what its panel shows. */
export function fillPixels(
  pixels: Pixels,
  panel: Panel,
  samples: Samples,
  { window: { low, high }, isBlinked, isOutlined }: Look,
): void {
  const { shown } = samples
  const { labels } = shown
  const { width } = samples.sight
  const under = (role: LayerRole, dim: boolean): void => {
    const values = samples.of(role, false)
    if (values === null) paintNothing(pixels)
    else paintScan(pixels, values, low, high, dim)
  }
  switch (panel.kind) {
    case 'scan': {
      const blinked = isBlinked && panel.scan === 'synthetic' && shown.volumes.has('host')
      under(blinked ? 'host' : panel.scan, false)
      if (!isOutlined || panel.outline === null || !shown.volumes.has(panel.scan)) return
      const own = ownTumor(samples)
      const ids = own === null ? samples.of(panel.outline, true) : null
      if (own !== null) paintOutline(pixels, own.ids, width, (id) => id === own.id)
      else if (ids !== null) paintOutline(pixels, ids, width, tumorTest(labels))
      return
    }
    case 'difference': {
      const [before, after] = [samples.of(panel.before, false), samples.of(panel.after, false)]
      if (before === null || after === null) paintNothing(pixels)
      else paintDifference(pixels, before, after)
      return
    }
    case 'labels': {
      under(panel.scan, true)
      const ids = samples.of(panel.labels, true)
      const own = ownTumor(samples)
      if (ids !== null) paintLabels(pixels, ids, labels, coloursOf(labels), own)
      return
    }
    case 'errors': {
      under(panel.scan, true)
      const [truth, predicted] = [samples.of(panel.labels, true), samples.of(panel.predicted, true)]
      if (truth !== null && predicted !== null) paintErrors(pixels, truth, predicted, labels)
    }
  }
}

/** Return the numbers of the tumors and that of the shown one; null if the data set has none. */
function ownTumor(samples: Samples): { readonly ids: Float32Array; readonly id: number } | null {
  const id = samples.shown.tumorId
  const ids = id === null ? null : samples.of('tumors', true)
  return id === null || ids === null ? null : { ids, id }
}

/** Draw the crosshair at a position; its middle is free, so that the tissue is seen. */
export function drawCross(context: CanvasRenderingContext2D, sight: Sight, mm: Vec3, ratio: number): void {
  const [x, y] = toPixel(sight, mm)
  const gap = 9 * ratio
  const lines = [
    [0, y, x - gap, y],
    [x + gap, y, sight.width, y],
    [x, 0, x, y - gap],
    [x, y + gap, x, sight.height],
  ] as const
  context.strokeStyle = CROSS
  context.lineWidth = ratio
  context.beginPath()
  for (const [x0, y0, x1, y1] of lines) {
    context.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5)
    context.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5)
  }
  context.stroke()
}

/** Draw a ring around a position; it is dashed in other slices than its own. */
export function drawRing(context: CanvasRenderingContext2D, sight: Sight, mm: Vec3, ratio: number): void {
  const [x, y] = toPixel(sight, mm)
  const { through } = sight.plane
  context.strokeStyle = RING
  context.lineWidth = 2 * ratio
  context.setLineDash(Math.abs(mm[through]! - sight.centreMm[through]!) < 1 ? [] : [3 * ratio, 4 * ratio])
  context.beginPath()
  context.arc(x, y, 11 * ratio, 0, 2 * Math.PI)
  context.stroke()
  context.setLineDash([])
}

/** Return the value of a panel at a position, in words. */
export function valueInWords(panel: Panel, shown: Shown, mm: Vec3, isBlinked: boolean): string {
  const { volumes, labels } = shown
  const at = (role: LayerRole): number | null => {
    const volume = volumes.get(role)
    return volume === undefined ? null : valueAt(volume, shifted(mm, shown, role))
  }
  const nameOf = (id: number | null): string =>
    id === null ? '' : id === 0 ? 'background' : (labels.find((one) => one.id === id)?.name ?? `id ${id}`)
  switch (panel.kind) {
    case 'scan': {
      const value = at(isBlinked && panel.scan === 'synthetic' ? 'host' : panel.scan)
      return value === null ? '' : `${Math.round(value)} HU`
    }
    case 'difference': {
      const [before, after] = [at(panel.before), at(panel.after)]
      if (before === null || after === null) return ''
      const value = Math.round(after - before)
      return `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value)} HU`
    }
    case 'labels':
      return nameOf(at(panel.labels))
    case 'errors':
      return ''
  }
}

/** Samples of the volumes at the pixels of one plane, each taken once for all columns. */
export class Samples {
  readonly #taken = new Map<string, Float32Array>()

  constructor(
    readonly shown: Shown,
    readonly sight: Sight,
  ) {}

  of(role: LayerRole, nearest: boolean): Float32Array | null {
    const volume = this.shown.volumes.get(role)
    if (volume === undefined) return null
    const key = `${role} ${nearest}`
    const known = this.#taken.get(key)
    if (known !== undefined) return known
    const { width, height, centreMm } = this.sight
    const values = new Float32Array(width * height)
    sample(volume, { ...this.sight, centreMm: shifted(centreMm, this.shown, role) }, values, nearest)
    this.#taken.set(key, values)
    return values
  }
}

/** Return where a position of the first scan lies in the scan of a role. */
function shifted(mm: Vec3, { shiftMm }: Shown, role: LayerRole): Vec3 {
  if (role !== 'second' || shiftMm === null) return mm
  return [mm[0] + shiftMm[0], mm[1] + shiftMm[1], mm[2] + shiftMm[2]]
}

function paintNothing(pixels: Pixels): void {
  pixels.fill(0)
  for (let at = 3; at < pixels.length; at += 4) pixels[at] = 255
}

/** Draw the side marks and the scale bar. */
export function drawMarks(
  context: CanvasRenderingContext2D,
  { plane, width, height, mmPerPixel }: Sight,
  ratio: number,
): void {
  const [left, right, top, bottom] = plane.marks
  const inset = 5 * ratio
  context.font = `600 ${11 * ratio}px system-ui, sans-serif`
  context.fillStyle = '#fff'
  context.shadowColor = '#000'
  context.shadowBlur = 3 * ratio
  const write = (
    text: string,
    x: number,
    y: number,
    align: CanvasTextAlign,
    base: CanvasTextBaseline,
  ): void => {
    context.textAlign = align
    context.textBaseline = base
    context.fillText(text, x, y)
  }
  write(left, inset, height / 2, 'left', 'middle')
  write(right, width - inset, height / 2, 'right', 'middle')
  write(top, width / 2, inset, 'center', 'top')
  write(bottom, width / 2, height - inset, 'center', 'bottom')
  const mm = scaleBarMm((width * mmPerPixel) / 4)
  const length = mm / mmPerPixel
  context.fillRect(inset, height - inset - 2 * ratio, length, 2 * ratio)
  write(mm >= 10 ? `${mm / 10} cm` : `${mm} mm`, inset, height - inset - 4 * ratio, 'left', 'bottom')
  context.shadowBlur = 0
}

/** Return the legend of a panel's colours. */
export function legendOf(panel: Panel): HTMLElement | null {
  const item = ([red, green, blue]: PaintColour, text: string): HTMLElement => {
    const swatch = make('i')
    swatch.style.background = `rgb(${red} ${green} ${blue})`
    return make('span', {}, swatch, text)
  }
  switch (panel.kind) {
    case 'difference':
      return make(
        'span',
        { class: 'key ramp', is: { title: 'Synthetic minus host' } },
        `−${DIFFERENCE_HU}`,
        make('i'),
        `+${DIFFERENCE_HU} HU`,
      )
    case 'labels':
      return make('span', { class: 'key' }, item(TUMOR, panel.scan === 'synthetic' ? 'this tumor' : 'tumor'))
    case 'errors':
      return make(
        'span',
        { class: 'key' },
        item(ERRORS.both, 'both'),
        item(ERRORS.missed, 'missed'),
        item(ERRORS.false, 'false'),
      )
    case 'scan':
      return null
  }
}
