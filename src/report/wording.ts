/** `crossEntropy` -> `cross entropy`. */
export function inWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

/** Format with three significant digits, without an exponent from 0.001 on. */
export function short(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && size < 0.001) return value.toExponential(1)
  return size < 100 ? value.toPrecision(3) : value.toFixed(0)
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`
}

/** `59 s`, `1:20 min`, `2:03:10 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (value: number): string => String(value).padStart(2, '0')
  if (hours > 0) return `${hours}:${two(minutes)}:${two(rest)} h`
  return minutes > 0 ? `${minutes}:${two(rest)} min` : `${rest} s`
}

/** Return true for a finite number. JSON writes NaN and infinity as `null`. */
export function isFigure(value: number | null | undefined): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

const LOSS_ORDER = [
  'total',
  'dice',
  'crossEntropy',
  'generator',
  'discriminator',
  'adversarial',
  'segmentation',
]

/** Return losses in a fixed order: maps from the runtime have no order. */
export function orderedLosses(losses: Readonly<Record<string, number>>): [name: string, value: number][] {
  const rank = (name: string): number =>
    LOSS_ORDER.includes(name) ? LOSS_ORDER.indexOf(name) : LOSS_ORDER.length
  return Object.entries(losses).sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b))
}
