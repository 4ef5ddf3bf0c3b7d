import type { LabelName } from '../../review/messages.js'
import { OUTSIDE } from './slices.js'
import { DIFFERENCE_HU } from './windows.js'

export type PaintColour = readonly [red: number, green: number, blue: number]

/** Colours of tumors and of organs, in order of their ids. They stay distinct for colour-blind readers. */
export const TUMOR: PaintColour = [255, 190, 0]
const ORGANS: readonly PaintColour[] = [
  [86, 180, 233],
  [0, 158, 115],
  [204, 121, 167],
  [213, 94, 0],
]
/** Opacity of an organ over the scan; a tumor is opaque. */
const ORGAN_OPACITY = 0.35
/** Opacity of tumors next to the shown one. */
const OTHER_OPACITY = 0.5
/** Brightness of a scan under a mask. */
const DIMMED = 0.7
/** Colours of prediction errors. */
export const ERRORS: Readonly<Record<'both' | 'missed' | 'false', PaintColour>> = {
  both: [0, 158, 115],
  missed: [86, 180, 233],
  false: [213, 94, 0],
}

const NO_DIFFERENCE = 32
const BELOW: PaintColour = [92, 176, 255]
const ABOVE: PaintColour = [255, 110, 90]

/** Pixels of a view: 4 bytes each. */
export type Pixels = Uint8ClampedArray<ArrayBuffer>

/** Return the colour of each id; undefined for ids without one. */
export function coloursOf(labels: readonly LabelName[]): ReadonlyMap<number, PaintColour> {
  const organs = labels.filter(({ tumor }) => !tumor)
  return new Map(
    labels.map((label) => [label.id, label.tumor ? TUMOR : ORGANS[organs.indexOf(label) % ORGANS.length]!]),
  )
}

/** Paint values in a window as grey. */
export function paintScan(
  pixels: Pixels,
  values: Float32Array,
  low: number,
  high: number,
  dim = false,
): void {
  const factor = 255 / (high - low)
  const brightness = dim ? DIMMED : 1
  for (let at = 0, to = 0; at < values.length; at++, to += 4) {
    const value = values[at]!
    // an array of clamped bytes rounds and clips
    const grey = value === OUTSIDE ? 0 : Math.min(255, (value - low) * factor) * brightness
    pixels[to] = grey
    pixels[to + 1] = grey
    pixels[to + 2] = grey
    pixels[to + 3] = 255
  }
}

/** Paint a difference in HU: blue below zero, red above, dark at zero. */
export function paintDifference(pixels: Pixels, before: Float32Array, after: Float32Array): void {
  for (let at = 0, to = 0; at < before.length; at++, to += 4) {
    const outside = before[at] === OUTSIDE || after[at] === OUTSIDE
    const share = outside ? 0 : Math.max(-1, Math.min(1, (after[at]! - before[at]!) / DIFFERENCE_HU))
    const [red, green, blue] = differenceColour(share)
    pixels[to] = outside ? 0 : red
    pixels[to + 1] = outside ? 0 : green
    pixels[to + 2] = outside ? 0 : blue
    pixels[to + 3] = 255
  }
}

/** Return the colour of a difference from -1 to 1; zero is dark, as the rest of the viewer. */
export function differenceColour(share: number): PaintColour {
  const [red, green, blue] = share < 0 ? BELOW : ABOVE
  const strength = Math.sqrt(Math.abs(share))
  const mixed = (full: number): number => NO_DIFFERENCE + (full - NO_DIFFERENCE) * strength
  return [mixed(red), mixed(green), mixed(blue)]
}

/**
 * Paint a label map over what is there: tumors opaque, organs translucent.
 * @param own the shown tumor: then other tumors are translucent, too
 */
export function paintLabels(
  pixels: Pixels,
  ids: Float32Array,
  labels: readonly LabelName[],
  colours: ReadonlyMap<number, PaintColour>,
  own: { readonly ids: Float32Array; readonly id: number } | null,
): void {
  const isTumor = tumorTest(labels)
  for (let at = 0, to = 0; at < ids.length; at++, to += 4) {
    const id = ids[at]!
    if (own !== null && own.ids[at] === own.id) {
      mix(pixels, to, TUMOR, 1)
      continue
    }
    if (id === 0 || id === OUTSIDE) continue
    // an id without a name is a mask of its own
    const colour = colours.get(id) ?? (labels.length === 0 ? TUMOR : undefined)
    if (colour === undefined) continue
    mix(pixels, to, colour, own === null && isTumor(id) ? 1 : isTumor(id) ? OTHER_OPACITY : ORGAN_OPACITY)
  }
}

/** Paint where a prediction and a label agree and differ on tumors. */
export function paintErrors(
  pixels: Pixels,
  truth: Float32Array,
  predicted: Float32Array,
  labels: readonly LabelName[],
): void {
  const isTumor = tumorTest(labels)
  for (let at = 0, to = 0; at < truth.length; at++, to += 4) {
    const [real, found] = [isTumor(truth[at]!), isTumor(predicted[at]!)]
    if (real || found) mix(pixels, to, ERRORS[real && found ? 'both' : real ? 'missed' : 'false'], 1)
  }
}

/** Draw the edge of the wanted ids: pixels inside with a neighbour outside. */
export function paintOutline(
  pixels: Pixels,
  ids: Float32Array,
  width: number,
  isWanted: (id: number) => boolean,
): void {
  const isIn = (at: number): boolean => ids[at] !== undefined && isWanted(ids[at])
  for (let at = 0; at < ids.length; at++)
    if (isIn(at) && !(isIn(at - 1) && isIn(at + 1) && isIn(at - width) && isIn(at + width)))
      mix(pixels, at * 4, TUMOR, 1)
}

/** Return whether an id is a tumor; without a name of a tumor, every id is one. */
export function tumorTest(labels: readonly LabelName[]): (id: number) => boolean {
  const tumors = new Set(labels.filter(({ tumor }) => tumor).map(({ id }) => id))
  return (id) => (tumors.size > 0 ? tumors.has(id) : id > 0)
}

function mix(pixels: Pixels, to: number, [red, green, blue]: PaintColour, opacity: number): void {
  pixels[to] = pixels[to]! * (1 - opacity) + red * opacity
  pixels[to + 1] = pixels[to + 1]! * (1 - opacity) + green * opacity
  pixels[to + 2] = pixels[to + 2]! * (1 - opacity) + blue * opacity
}
