import type { Vec3 } from '../../volume/volume.js'
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
 * All pairs of scans that share voxel patterns or landmarks: every key is a word, every scan a text, and only texts that
 * share words are compared. Memory grows with the scans; time with them and with the words that two of them share, at most
 * COMMON_KEY for each word of a scan.
 */
export function findCandidates(scans: readonly Searchable[]): Candidate[] {
  const patterns = [wordsOf(scans.map(({ sketch }) => sketchKeys(sketch)))]
  const landmarks = Array.from({ length: KEYS_PER_LANDMARK }, (_, key) =>
    wordsOf(scans.map((scan) => landmarkKeys(scan, key))),
  )
  const sharing = [
    new Sharing(patterns, scans.length, MIN_SHARED_PATTERNS / 2),
    new Sharing(landmarks, scans.length, MIN_VOTES),
  ]
  const candidates: Candidate[] = []
  for (let a = 0; a < scans.length; a++)
    for (const b of [...new Set(sharing.flatMap((one) => one.partnersOf(a)))].sort((x, y) => x - y)) {
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

/** Words that a few scans have, and which these are. */
interface Words {
  /** Scans of word w, rising: from `start[w]` to `start[w + 1]`. */
  readonly owners: Uint32Array
  readonly start: Uint32Array
  /** Words of scan s: from `startOfScan[s]` to `startOfScan[s + 1]`. */
  readonly words: Uint32Array
  readonly startOfScan: Uint32Array
}

/** The keys that two scans have, or more, and not too many. */
function wordsOf(keysOfScans: readonly Uint32Array[]): Words {
  const sorted = sortByKey(...joined(keysOfScans))
  const total = sorted.keys.length
  const [owners, start] = [new Uint32Array(total), new Uint32Array(total + 1)]
  let [count, used] = [0, 0]
  for (let from = 0; from < total; ) {
    let to = from
    const first = used
    for (; to < total && sorted.keys[to] === sorted.keys[from]; to++)
      if (used === first || owners[used - 1] !== sorted.owners[to]) owners[used++] = sorted.owners[to]!
    from = to
    if (used - first > 1 && used - first <= COMMON_KEY) start[++count] = used
    else used = first
  }
  const kept = { owners: owners.slice(0, used), start: start.slice(0, count + 1) }
  return { ...kept, ...byScan(kept, keysOfScans.length) }
}

function joined(keysOfScans: readonly Uint32Array[]): [Uint32Array, Uint32Array] {
  const total = keysOfScans.reduce((sum, { length }) => sum + length, 0)
  const [keys, owners] = [new Uint32Array(total), new Uint32Array(total)]
  let at = 0
  for (const [scan, own] of keysOfScans.entries()) {
    keys.set(own, at)
    owners.fill(scan, at, at + own.length)
    at += own.length
  }
  return [keys, owners]
}

/** The same table read the other way: the words of each scan. */
function byScan({ owners, start }: Pick<Words, 'owners' | 'start'>, numScans: number) {
  const startOfScan = new Uint32Array(numScans + 1)
  for (let n = 0; n < owners.length; n++) startOfScan[owners[n]! + 1]!++
  for (let scan = 0; scan < numScans; scan++) startOfScan[scan + 1]! += startOfScan[scan]!
  const [words, next] = [new Uint32Array(owners.length), startOfScan.slice()]
  for (let word = 0; word + 1 < start.length; word++)
    for (let n = start[word]!; n < start[word + 1]!; n++) words[next[owners[n]!]!++] = word
  return { words, startOfScan }
}

/** Counts, for one scan at a time, the words that each later scan shares with it. */
class Sharing {
  private readonly counts: Uint16Array

  constructor(
    private readonly tables: readonly Words[],
    numScans: number,
    private readonly least: number,
  ) {
    this.counts = new Uint16Array(numScans)
  }

  /** Later scans that share at least `least` words with scan `a`. */
  partnersOf(a: number): number[] {
    const met: number[] = []
    for (const { owners, start, words, startOfScan } of this.tables)
      for (let at = startOfScan[a]!; at < startOfScan[a + 1]!; at++) {
        const word = words[at]!
        // From the end: scans before it have met it already.
        for (let n = start[word + 1]! - 1; owners[n]! > a; n--)
          if (this.counts[owners[n]!]!++ === 0) met.push(owners[n]!)
      }
    const partners = met.filter((b) => this.counts[b]! >= this.least)
    for (const b of met) this.counts[b] = 0
    return partners
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
