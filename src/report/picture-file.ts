import { DataError } from '../errors.js'

const MAX_SIDE = 1024
const MAX_PIXEL_MM = 100

/**
 * Return width and height of a plane.
 * @throws DataError that names the file and the wrong part, as every function of this file
 */
export function sides(
  file: string,
  plane: Readonly<Record<string, unknown>>,
): { width: number; height: number } {
  const [width, height] = [whole(file, plane, 'width'), whole(file, plane, 'height')]
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
    throw refused(file, 'width and height', `1 to ${MAX_SIDE}`)
  return { width, height }
}

/** Return the `length` bytes that a key holds in base64. */
export function bytes(
  file: string,
  plane: Readonly<Record<string, unknown>>,
  key: string,
  length: number,
): Uint8Array {
  const found = Buffer.from(text(file, plane, key), 'base64')
  if (found.length !== length) throw refused(file, key, `${length} bytes in base64`)
  return found
}

/** Return width and height of a pixel in mm; null if the file has none, as files of earlier versions. */
export function pixelMm(file: string, plane: Readonly<Record<string, unknown>>): [number, number] | null {
  const pair = numbers(file, plane, 'pixelMm', 2) as [number, number] | null
  if (pair?.some((mm) => mm <= 0 || mm > MAX_PIXEL_MM))
    throw refused(file, 'pixelMm', `above 0, at most ${MAX_PIXEL_MM}`)
  return pair
}

/** Return the ends of the intensity window; null if the file has none. */
export function windowHu(file: string, from: Readonly<Record<string, unknown>>): [number, number] | null {
  return numbers(file, from, 'windowHu', 2) as [number, number] | null
}

/** Return left, top, width and height of a rectangle; null if the file has none. */
export function rectangle(
  file: string,
  from: Readonly<Record<string, unknown>>,
  key: string,
): [number, number, number, number] | null {
  return numbers(file, from, key, 4) as [number, number, number, number] | null
}

function numbers(
  file: string,
  from: Readonly<Record<string, unknown>>,
  key: string,
  count: number,
): number[] | null {
  const value = from[key]
  if (value === undefined || value === null) return null
  if (!Array.isArray(value) || value.length !== count || !value.every(Number.isFinite))
    throw refused(file, key, `${count} numbers`)
  return value
}

export function record(file: string, value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw refused(file, where, 'an object')
  return value as Readonly<Record<string, unknown>>
}

export function whole(file: string, from: Readonly<Record<string, unknown>>, key: string): number {
  const value = from[key]
  if (!Number.isInteger(value) || (value as number) < 0) throw refused(file, key, 'a whole number')
  return value as number
}

export function number(file: string, from: Readonly<Record<string, unknown>>, key: string): number {
  const value = from[key]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw refused(file, key, 'a number')
  return value
}

export function text(file: string, from: Readonly<Record<string, unknown>>, key: string): string {
  const value = from[key]
  if (typeof value !== 'string') throw refused(file, key, 'a text')
  return value
}

export function refused(file: string, where: string, expected: string): DataError {
  return new DataError(`${file}: ${where}: wrong value (expected ${expected})`, {
    hint: 'remove this picture: it is damaged or of another version',
  })
}
