import type { WholeHuVolume } from './exact-hash.js'

/** Size of a sketch. A copy of three quarters of a scan shares about three quarters of it. */
const SKETCH_SIZE = 64
/** Inside every usual soft-tissue window, so that clipping to one has no influence. */
const LOWEST_HU = -150
const HIGHEST_HU = 220
/**
 * Minimum number of values in a neighbourhood: fewer are not detector noise but a pattern that two scans may
 * share.
 */
const MIN_DISTINCT = 12

/**
 * Return the rarest small patterns of a scan: the smallest hashes of 3x3x3 neighbourhoods, each invariant to
 * rotating and mirroring. A part of the same voxels (a crop, other padding, another header, clipped values,
 * removed slices) keeps the patterns that it contains. Because of noise, no other scan has them.
 * @returns at most 64 integers below 2^53, sorted; fewer in small or smooth volumes
 */
export function voxelSketch({ data, shape }: WholeHuVolume): number[] {
  const [n0, n1, n2] = shape
  const [s0, s1] = [n1 * n2, n2]
  const neighbours = neighbourOffsets(s0, s1)
  let hashes: number[] = []
  let threshold = Number.POSITIVE_INFINITY
  for (let i = 1; i < n0 - 1; i++)
    for (let j = 1; j < n1 - 1; j++) {
      const row = i * s0 + j * s1
      for (let v = row + 1; v < row + n2 - 1; v++) {
        const centre = data[v]!
        if (centre < LOWEST_HU || centre > HIGHEST_HU) continue
        // one voxel in eight, chosen by its values and not by its position
        const faces =
          data[v - s0]! + data[v + s0]! + data[v - s1]! + data[v + s1]! + data[v - 1]! + data[v + 1]!
        if (Math.imul(Math.imul(centre, 0x9e3779b1) ^ faces, 0x85ebca6b) >>> 29 !== 0) continue
        const hash = patternHash(data, v, neighbours, centre, faces)
        if (hash >= threshold || hash < 0) continue
        hashes.push(hash)
        if (hashes.length >= 64 * SKETCH_SIZE) {
          hashes = smallest(hashes)
          if (hashes.length === SKETCH_SIZE) threshold = hashes[SKETCH_SIZE - 1]!
        }
      }
    }
  return smallest(hashes)
}

function smallest(hashes: readonly number[]): number[] {
  return [...new Set(hashes)].sort((a, b) => a - b).slice(0, SKETCH_SIZE)
}

/** Return the offsets of the 12 neighbours over edges, then of the 8 over corners. */
function neighbourOffsets(s0: number, s1: number): Int32Array {
  const steps = [-1, 0, 1].flatMap((i) =>
    [-1, 0, 1].flatMap((j) => [-1, 0, 1].map((k) => [i, j, k] as const)),
  )
  const away = (count: number) =>
    steps
      .filter((step) => step.filter((d) => d !== 0).length === count)
      .map(([i, j, k]) => i * s0 + j * s1 + k)
  return Int32Array.from([...away(2), ...away(3), ...away(1)])
}

const values = new Int16Array(27)

/**
 * Hash the invariants of a neighbourhood: the centre, and sums over faces, edges, corners, squares; -1 for an
 * even pattern.
 */
function patternHash(
  data: Int16Array,
  at: number,
  neighbours: Int32Array,
  centre: number,
  faces: number,
): number {
  let [edges, corners, squares] = [0, 0, centre * centre]
  for (let n = 0; n < 26; n++) {
    const value = data[at + neighbours[n]!]!
    if (value < LOWEST_HU || value > HIGHEST_HU) return -1
    if (n < 12) edges += value
    else if (n < 20) corners += value
    squares += value * value
    values[n] = value
  }
  values[26] = centre
  if (!isVaried()) return -1
  const a = mix(mix(mix(mix(centre, faces), edges), corners), squares)
  const b = mix(mix(mix(mix(mix(0x5bd1e995, squares), corners), edges), faces), centre)
  return (a >>> 5) * 2 ** 26 + (b >>> 6)
}

function isVaried(): boolean {
  values.sort()
  let distinct = 1
  for (let n = 1; n < 27; n++) if (values[n] !== values[n - 1]) distinct++
  return distinct >= MIN_DISTINCT
}

/** Mix a value into a running state by the finaliser of MurmurHash3. */
function mix(state: number, value: number): number {
  let h = Math.imul(state ^ Math.imul(value, 0xcc9e2d51), 0x1b873593)
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return h ^ (h >>> 16)
}
