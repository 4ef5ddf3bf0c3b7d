import type { Vec3 } from '../volume/volume.js'
import { KEYS_PER_LANDMARK, type Landmarks, matchLandmarks } from './landmarks.js'

/** What a scan is searched by. */
export interface Searchable {
  /** Rising, as `voxelSketch` gives them. */
  readonly sketch: readonly number[]
  /** One set for each reading of its numbers. */
  readonly landmarks: readonly Landmarks[]
}

/** Two scans, by their place in the list, that share more than chance gives. */
export interface Candidate {
  readonly a: number
  readonly b: number
  /** Of the smaller sketch, the share of patterns that both have. */
  readonly sharedPatterns: number
  /** Voxel patterns alone prove it: enough of them are shared. */
  readonly proven: boolean
  /** Which readings agree best, and on what; null when landmarks do not. */
  readonly landmarks: {
    readonly readingA: number
    readonly readingB: number
    readonly votes: number
    readonly offsetMm: Vec3
  } | null
}

/** Shared patterns that no two scans have by chance (made CTs share one at most). */
const MIN_SHARED_PATTERNS = 6
/** Landmarks that agree on a movement, to be worth a look at the images. */
const MIN_VOTES = 5
/** A key of more scans than this is a common word that tells nothing; looking at all its pairs would take for ever. */
const COMMON_KEY = 64

/**
 * All pairs of scans that share voxel patterns or landmarks, found by sorting: every key is a word, every scan a text, and
 * only texts that share words are compared. Time grows as n log n with the scans, and with the pairs that are found.
 */
export function findCandidates(scans: readonly Searchable[]): Candidate[] {
  const bySketch = pairsThatShare(
    scans.map(({ sketch }) => sketchKeys(sketch)),
    MIN_SHARED_PATTERNS / 2,
  )
  const byLandmarks = new PairCounts(scans.length)
  for (let key = 0; key < KEYS_PER_LANDMARK; key++)
    countPairs(
      scans.map((scan) => landmarkKeys(scan, key)),
      byLandmarks,
    )
  const pairs = new Set([...bySketch, ...byLandmarks.atLeast(MIN_VOTES)])
  const candidates: Candidate[] = []
  for (const pair of [...pairs].sort((x, y) => x - y)) {
    const [a, b] = [Math.floor(pair / scans.length), pair % scans.length]
    const candidate = compare(scans, a, b)
    if (candidate) candidates.push(candidate)
  }
  return candidates
}

function compare(scans: readonly Searchable[], a: number, b: number): Candidate | null {
  const [first, second] = [scans[a]!, scans[b]!]
  const size = Math.min(first.sketch.length, second.sketch.length)
  const shared = countShared(first.sketch, second.sketch)
  // Small volumes have short sketches: half of one proves as much.
  const proven = shared >= Math.min(MIN_SHARED_PATTERNS, Math.max(3, size / 2))
  const landmarks = bestReadings(first, second)
  if (!proven && landmarks === null) return null
  return { a, b, sharedPatterns: size === 0 ? 0 : shared / size, proven, landmarks }
}

function bestReadings(a: Searchable, b: Searchable): Candidate['landmarks'] {
  let best: Candidate['landmarks'] = null
  for (const [readingA, one] of a.landmarks.entries())
    for (const [readingB, other] of b.landmarks.entries()) {
      const match = matchLandmarks(one, other)
      if (match && match.votes >= Math.max(MIN_VOTES, (best?.votes ?? 0) + 1))
        best = { readingA, readingB, ...match }
    }
  return best
}

function countShared(a: readonly number[], b: readonly number[]): number {
  const inB = new Set(b)
  return a.filter((hash) => inB.has(hash)).length
}

function sketchKeys(sketch: readonly number[]): Uint32Array {
  return Uint32Array.from(sketch, (hash) => hash % 2 ** 32)
}

/** One key of every landmark, of all readings. */
function landmarkKeys({ landmarks }: Searchable, key: number): Uint32Array {
  const keys: number[] = []
  for (const { keys: all } of landmarks)
    for (let at = key; at < all.length; at += KEYS_PER_LANDMARK) keys.push(all[at]!)
  return Uint32Array.from(keys)
}

function pairsThatShare(keys: readonly Uint32Array[], least: number): number[] {
  const counts = new PairCounts(keys.length)
  countPairs(keys, counts)
  return counts.atLeast(least)
}

/** Notes every pair of scans that has a key in common, once for each such key. */
function countPairs(keysOfScans: readonly Uint32Array[], counts: PairCounts): void {
  const total = keysOfScans.reduce((sum, { length }) => sum + length, 0)
  const keys = new Uint32Array(total)
  const owners = new Uint32Array(total)
  let at = 0
  for (const [scan, own] of keysOfScans.entries()) {
    keys.set(own, at)
    owners.fill(scan, at, at + own.length)
    at += own.length
  }
  const sorted = sortByKey(keys, owners)
  for (let start = 0; start < total; ) {
    let end = start + 1
    while (end < total && sorted.keys[end] === sorted.keys[start]) end++
    if (end - start > 1 && end - start <= COMMON_KEY) notePairs(sorted.owners.subarray(start, end), counts)
    start = end
  }
}

/** Owners of one key, rising, some of them twice. */
function notePairs(owners: Uint32Array, counts: PairCounts): void {
  for (let a = 0; a < owners.length; a++) {
    if (a > 0 && owners[a] === owners[a - 1]) continue
    for (let b = a + 1; b < owners.length; b++)
      if (owners[b] !== owners[b - 1]) counts.add(owners[a]!, owners[b]!)
  }
}

interface Sorted {
  readonly keys: Uint32Array
  readonly owners: Uint32Array
}

/** Least-significant-digit radix sort, so that owners of equal keys keep their order. */
function sortByKey(keys: Uint32Array, owners: Uint32Array): Sorted {
  let from: Sorted = { keys, owners }
  let to: Sorted = { keys: new Uint32Array(keys.length), owners: new Uint32Array(keys.length) }
  for (const shift of [0, 16]) {
    const places = new Uint32Array(65537)
    for (let n = 0; n < keys.length; n++) places[((from.keys[n]! >>> shift) & 0xffff) + 1]!++
    for (let digit = 0; digit < 65536; digit++) places[digit + 1]! += places[digit]!
    for (let n = 0; n < keys.length; n++) {
      const place = places[(from.keys[n]! >>> shift) & 0xffff]!++
      to.keys[place] = from.keys[n]!
      to.owners[place] = from.owners[n]!
    }
    ;[from, to] = [to, from]
  }
  return from
}

/** Counts pairs, as many as come: noted in blocks, sorted at the end. */
class PairCounts {
  private readonly full: Float64Array[] = []
  private block = new Float64Array(1 << 16)
  private used = 0

  constructor(private readonly numScans: number) {}

  add(a: number, b: number): void {
    if (this.used === this.block.length) {
      this.full.push(this.block)
      this.block = new Float64Array(Math.min(1 << 24, 2 * this.block.length))
      this.used = 0
    }
    this.block[this.used++] = a * this.numScans + b
  }

  /** Pairs (a * numScans + b) that were noted so often, rising. */
  atLeast(least: number): number[] {
    const all = new Float64Array(this.full.reduce((sum, { length }) => sum + length, this.used))
    let at = 0
    for (const block of [...this.full, this.block.subarray(0, this.used)]) {
      all.set(block, at)
      at += block.length
    }
    all.sort()
    const found: number[] = []
    for (let start = 0; start < all.length; ) {
      let end = start + 1
      while (end < all.length && all[end] === all[start]) end++
      if (end - start >= least) found.push(all[start]!)
      start = end
    }
    return found
  }
}
