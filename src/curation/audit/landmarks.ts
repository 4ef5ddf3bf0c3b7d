import type { Vec3 } from '../../volume/volume.js'
import { type CoarseGrid, smoothGrid } from './coarse-grid.js'

/** Places of a scan that its copies share, with keys that describe their surroundings. */
export interface Landmarks {
  /** x, y, z of each landmark, in mm from the low corner (right, anterior, superior). */
  readonly mm: Float32Array
  /** KEYS_PER_LANDMARK keys per landmark. */
  readonly keys: Uint32Array
}

export const LANDMARK_CELL_MM = 4
export const KEYS_PER_LANDMARK = 3
const MAX_LANDMARKS = 96
/** Minimum contrast relative to the width of the window; fainter blobs are noise. */
const MIN_CONTRAST = 0.01
/** Bits of a key that compare two points near the landmark; the last bit is 1 for a bright blob. */
const BITS_PER_KEY = 31
/**
 * Largest distance of compared points from the landmark, in mm; short along the body axis, because many scans
 * are thin.
 */
const REACH_MM: Vec3 = [20, 20, 10]
const MIN_DISTANCE_MM = 12

/**
 * Find the strongest bright and dark blobs of about 1 cm. Each is described by comparing the brightness of 93
 * fixed pairs of nearby points. Resampling, cropping and other intensity windows leave most of these bits
 * unchanged.
 * @param grid with cells of LANDMARK_CELL_MM
 */
export function findLandmarks(grid: CoarseGrid): Landmarks {
  const fine = smoothGrid(grid, 1)
  const blobs = findBlobs(difference(fine.data, smoothGrid(grid, 2).data), grid.shape)
  const mm = new Float32Array(3 * blobs.length)
  const keys = new Uint32Array(KEYS_PER_LANDMARK * blobs.length)
  for (const [at, { position, contrast }] of blobs.entries()) {
    for (let axis = 0; axis < 3; axis++) mm[3 * at + axis] = (position[axis]! + 0.5) * grid.cellMm[axis]!
    for (let key = 0; key < KEYS_PER_LANDMARK; key++)
      keys[KEYS_PER_LANDMARK * at + key] = keyOf(fine, position, key, contrast > 0)
  }
  return { mm, keys }
}

/** Agreement of the landmarks of two scans under the best translation. */
export interface LandmarkMatch {
  /** Pairs of landmarks that agree on the translation. */
  readonly votes: number
  /** Position of the low corner of b in a, in mm. */
  readonly offsetMm: Vec3
}

/** Return the translation on which most pairs of equal keys agree, within a cell; null without equal keys. */
export function matchLandmarks(a: Landmarks, b: Landmarks): LandmarkMatch | null {
  const moves = movesOfEqualKeys(a, b)
  let best: Vec3[] = []
  for (const move of moves) {
    const agreeing = moves.filter((other) =>
      other.every((mm, axis) => Math.abs(mm - move[axis]!) <= LANDMARK_CELL_MM),
    )
    if (agreeing.length > best.length) best = agreeing
  }
  if (best.length === 0) return null
  const offset = [0, 1, 2].map((axis) => median(best.map((move) => move[axis]!)))
  return { votes: best.length, offsetMm: offset as unknown as Vec3 }
}

/**
 * Encode landmarks as base64: positions in tenths of a millimetre (uint16), then keys (uint32),
 * little-endian.
 */
export function encodeLandmarks({ mm, keys }: Landmarks): string {
  const bytes = Buffer.alloc(2 * mm.length + 4 * keys.length)
  for (let at = 0; at < mm.length; at++)
    bytes.writeUInt16LE(Math.min(65535, Math.round(10 * mm[at]!)), 2 * at)
  for (let at = 0; at < keys.length; at++) bytes.writeUInt32LE(keys[at]!, 2 * mm.length + 4 * at)
  return bytes.toString('base64')
}

export function decodeLandmarks(text: string): Landmarks {
  const bytes = Buffer.from(text, 'base64')
  const count = Math.floor(bytes.length / (6 + 4 * KEYS_PER_LANDMARK))
  return {
    mm: Float32Array.from({ length: 3 * count }, (_, at) => bytes.readUInt16LE(2 * at) / 10),
    keys: Uint32Array.from({ length: KEYS_PER_LANDMARK * count }, (_, at) =>
      bytes.readUInt32LE(6 * count + 4 * at),
    ),
  }
}

interface Blob {
  /** Position in cells, with the maximum of the blob between cells. */
  readonly position: Vec3
  readonly contrast: number
}

/** Return cells that are brighter or darker than all 26 neighbours, by falling contrast. */
function findBlobs(contrast: Float32Array, [n0, n1, n2]: Vec3): Blob[] {
  const strides: Vec3 = [n1 * n2, n2, 1]
  const around = [-1, 0, 1].flatMap((i) =>
    [-1, 0, 1].flatMap((j) => [-1, 0, 1].map((k) => i * strides[0] + j * strides[1] + k)),
  )
  const neighbours = Int32Array.from(around.filter((offset) => offset !== 0))
  const blobs: Blob[] = []
  for (let i = 1; i < n0 - 1; i++)
    for (let j = 1; j < n1 - 1; j++)
      for (let k = 1; k < n2 - 1; k++) {
        const v = i * strides[0] + j * strides[1] + k
        if (Math.abs(contrast[v]!) < MIN_CONTRAST || !isExtreme(contrast, v, neighbours)) continue
        const position = [i, j, k].map((cell, axis) => cell + peakOffset(contrast, v, strides[axis]!))
        blobs.push({ position: position as unknown as Vec3, contrast: contrast[v]! })
      }
  return blobs.sort((a, b) => Math.abs(b.contrast) - Math.abs(a.contrast)).slice(0, MAX_LANDMARKS)
}

function isExtreme(contrast: Float32Array, v: number, neighbours: Int32Array): boolean {
  const sign = contrast[v]! > 0 ? 1 : -1
  const own = sign * contrast[v]!
  for (let n = 0; n < neighbours.length; n++) if (sign * contrast[v + neighbours[n]!]! >= own) return false
  return true
}

/** Return the offset of the maximum of the parabola through a cell and its two neighbours. */
function peakOffset(contrast: Float32Array, v: number, stride: number): number {
  const [before, here, after] = [contrast[v - stride]!, contrast[v]!, contrast[v + stride]!]
  const bend = before - 2 * here + after
  return bend === 0 ? 0 : Math.max(-0.5, Math.min(0.5, (before - after) / (2 * bend)))
}

function keyOf(grid: CoarseGrid, position: Vec3, key: number, bright: boolean): number {
  let bits = bright ? 1 : 0
  for (let bit = 0; bit < BITS_PER_KEY; bit++) {
    const [a, b] = COMPARED_POINTS[key * BITS_PER_KEY + bit]!
    bits = (bits << 1) | (valueNear(grid, position, a) > valueNear(grid, position, b) ? 1 : 0)
  }
  return bits >>> 0
}

/** Interpolate linearly; beyond a face, its value continues. */
function valueNear({ data, shape, cellMm }: CoarseGrid, position: Vec3, offsetMm: Vec3): number {
  const at = (axis: 0 | 1 | 2): [number, number, number] => {
    const last = shape[axis] - 1
    const exact = Math.max(0, Math.min(last, position[axis] + offsetMm[axis] / cellMm[axis]))
    const low = Math.floor(exact)
    return [low, Math.min(last, low + 1), exact - low]
  }
  const [[i0, i1, fi], [j0, j1, fj], [k0, k1, fk]] = [at(0), at(1), at(2)]
  const row = (i: number, j: number): number => {
    const base = (i * shape[1] + j) * shape[2]
    return data[base + k0]! * (1 - fk) + data[base + k1]! * fk
  }
  const plane = (i: number): number => row(i, j0) * (1 - fj) + row(i, j1) * fj
  return plane(i0) * (1 - fi) + plane(i1) * fi
}

/** 93 pairs of points from a fixed generator; other pairs would make another kind of fingerprint. */
const COMPARED_POINTS: readonly (readonly [Vec3, Vec3])[] = drawPairs(KEYS_PER_LANDMARK * BITS_PER_KEY)

function drawPairs(count: number): (readonly [Vec3, Vec3])[] {
  let state = 12345
  const draw = (reach: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return ((2 * state) / 2 ** 32 - 1) * reach
  }
  const point = (): Vec3 => [draw(REACH_MM[0]), draw(REACH_MM[1]), draw(REACH_MM[2])]
  const pairs: (readonly [Vec3, Vec3])[] = []
  while (pairs.length < count) {
    const [a, b] = [point(), point()]
    if (Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) > MIN_DISTANCE_MM) pairs.push([a, b])
  }
  return pairs
}

function movesOfEqualKeys(a: Landmarks, b: Landmarks): Vec3[] {
  const moves = new Map<number, Vec3>()
  const count = b.mm.length / 3
  for (let key = 0; key < KEYS_PER_LANDMARK; key++) {
    const byKey = new Map<number, number[]>()
    for (let at = key; at < a.keys.length; at += KEYS_PER_LANDMARK)
      byKey.set(a.keys[at]!, [...(byKey.get(a.keys[at]!) ?? []), Math.floor(at / KEYS_PER_LANDMARK)])
    for (let of = 0; of < count; of++)
      for (const other of byKey.get(b.keys[of * KEYS_PER_LANDMARK + key]!) ?? [])
        moves.set(
          other * count + of,
          [0, 1, 2].map((axis) => a.mm[3 * other + axis]! - b.mm[3 * of + axis]!) as unknown as Vec3,
        )
  }
  return [...moves.values()]
}

function difference(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, at) => value - b[at]!)
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}
