import type { LabelName } from '../../review/messages.js'
import { OUTSIDE } from './slices.js'
import { DIFFERENCE_HU } from './windows.js'

export type Colour = readonly [red: number, green: number, blue: number]

/** Colours of tumors and of organs, in order of their ids. They stay distinct for colour-blind readers. */
export const TUMOR: Colour = [255, 190, 0]
const ORGANS: readonly Colour[] = [
  [86, 180, 233],
  [0, 158, 115],
  [204, 121, 167],
  [213, 94, 0],
]
/** Opacity of an organ over the scan; a tumor is opaque. */
const ORGAN_OPACITY = 0.35
/** Brightness of a scan under a mask. */
const DIMMED = 0.7
/** Colours of prediction errors. */
export const ERRORS: Readonly<Record<'both' | 'missed' | 'false', Colour>> = {
  both: [0, 158, 115],
  missed: [86, 180, 233],
  false: [213, 94, 0],
}

/** Pixels of a view: 4 bytes each. */
export type Pixels = Uint8ClampedArray<ArrayBuffer>

/** Return the colour of each id; undefined for ids without one. */
export function coloursOf(labels: readonly LabelName[]): ReadonlyMap<number, Colour> {
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

/** Paint a difference in HU: blue below zero, red above, white at zero. */
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

/** Return the colour of a difference from -1 to 1; zero is a light grey. */
export function differenceColour(share: number): Colour {
  const strength = Math.abs(share)
  const [red, green, blue] = share < 0 ? [33, 102, 172] : [178, 24, 43]
  const mixed = (full: number): number => 238 + (full - 238) * Math.sqrt(strength)
  return [mixed(red), mixed(green), mixed(blue)]
}

/** Paint a label map over what is there: tumors opaque, organs translucent. */
export function paintLabels(
  pixels: Pixels,
  ids: Float32Array,
  labels: readonly LabelName[],
  colours: ReadonlyMap<number, Colour>,
): void {
  const tumors = new Set(labels.filter(({ tumor }) => tumor).map(({ id }) => id))
  for (let at = 0, to = 0; at < ids.length; at++, to += 4) {
    const id = ids[at]!
    if (id === 0 || id === OUTSIDE) continue
    // an id without a name is a mask of its own
    const colour = colours.get(id) ?? (labels.length === 0 ? TUMOR : undefined)
    if (colour === undefined) continue
    mix(pixels, to, colour, tumors.has(id) || labels.length === 0 ? 1 : ORGAN_OPACITY)
  }
}

/** Paint where a prediction and a label agree and differ on tumors. */
export function paintErrors(
  pixels: Pixels,
  truth: Float32Array,
  predicted: Float32Array,
  labels: readonly LabelName[],
): void {
  const tumors = new Set(labels.filter(({ tumor }) => tumor).map(({ id }) => id))
  const isTumor = (id: number): boolean => (tumors.size > 0 ? tumors.has(id) : id > 0)
  for (let at = 0, to = 0; at < truth.length; at++, to += 4) {
    const [real, found] = [isTumor(truth[at]!), isTumor(predicted[at]!)]
    if (real || found) mix(pixels, to, ERRORS[real && found ? 'both' : real ? 'missed' : 'false'], 1)
  }
}

/** Draw the edge of tumors: pixels inside with a neighbour outside. */
export function paintOutline(
  pixels: Pixels,
  ids: Float32Array,
  width: number,
  labels: readonly LabelName[],
): void {
  const tumors = new Set(labels.filter(({ tumor }) => tumor).map(({ id }) => id))
  const isIn = (at: number): boolean => {
    const id = ids[at]
    return id !== undefined && (tumors.size > 0 ? tumors.has(id) : id > 0)
  }
  for (let at = 0; at < ids.length; at++)
    if (isIn(at) && !(isIn(at - 1) && isIn(at + 1) && isIn(at - width) && isIn(at + width)))
      mix(pixels, at * 4, TUMOR, 1)
}

function mix(pixels: Pixels, to: number, [red, green, blue]: Colour, opacity: number): void {
  pixels[to] = pixels[to]! * (1 - opacity) + red * opacity
  pixels[to + 1] = pixels[to + 1]! * (1 - opacity) + green * opacity
  pixels[to + 2] = pixels[to + 2]! * (1 - opacity) + blue * opacity
}
