import type { Vec3 } from '../../volume/volume.js'
import { KEYS_PER_LANDMARK, type Landmarks, matchLandmarks } from './landmarks.js'

/** Data by which a scan is searched. */
export interface Searchable {
  /** Sorted, as `voxelSketch` returns them. */
  readonly sketch: Float64Array
  /** KEYS_PER_LANDMARK keys per landmark, of all possible meanings of the numbers. */
  readonly landmarkKeys: Uint32Array
}

/** Return the landmarks of a scan, by index: one set per possible meaning of its numbers. */
export type ReadLandmarks = (scan: number) => Promise<readonly Landmarks[]>

/** Two scans, by index, that share more than chance allows. */
export interface Candidate {
  readonly a: number
  readonly b: number
  /** Fraction of the patterns of the smaller sketch that both have. */
  readonly sharedPatterns: number
  /** True if enough voxel patterns are shared to prove a copy. */
  readonly proven: boolean
  /** The best readings and their agreement; null if landmarks do not agree. */
  readonly landmarks: {
    readonly readingA: number
    readonly readingB: number
    readonly votes: number
    readonly offsetMm: Vec3
  } | null
}

/** Shared patterns that no two scans have by chance; two phantoms share at most one. */
const MIN_SHARED_PATTERNS = 6
/** Agreeing landmarks that justify a comparison of the images. */
const MIN_VOTES = 5
/**
 * Most scans that a useful key occurs in: more common keys carry no information, and comparing all their
 * pairs takes too long.
 */
const COMMON_KEY = 64

/**
 * Find all pairs of scans that share voxel patterns or landmarks. Keys are words and scans are texts; only
 * texts that share words are compared, and only their landmarks are read. Memory grows with the scans. Time grows
 * with the scans and with their shared words, at most COMMON_KEY per word of a scan.
 */
export async function findCandidates(
  scans: readonly Searchable[],
  readLandmarks: ReadLandmarks,
): Promise<Candidate[]> {
  const patterns = wordsOf(scans, ({ sketch }, visit) => {
    for (const hash of sketch) visit(hash % 2 ** 32)
  })
  const landmarks = Array.from({ length: KEYS_PER_LANDMARK }, (_, key) =>
    wordsOf(scans, ({ landmarkKeys }, visit) => {
      for (let at = key; at < landmarkKeys.length; at += KEYS_PER_LANDMARK) visit(landmarkKeys[at]!)
    }),
  )
  const sharing = [
    new Sharing(patterns, scans.length, MIN_SHARED_PATTERNS / 2),
    new Sharing(landmarks.flat(), scans.length, MIN_VOTES),
  ]
  const candidates: Candidate[] = []
  for (let a = 0; a < scans.length; a++) {
    const partners = [...new Set(sharing.flatMap((one) => one.partnersOf(a)))].sort((x, y) => x - y)
    const own = partners.length > 0 ? await readLandmarks(a) : []
    for (const b of partners) {
      const candidate = compare(scans, [a, b], bestReadings(own, await readLandmarks(b)))
      if (candidate) candidates.push(candidate)
    }
  }
  return candidates
}

function compare(
  scans: readonly Searchable[],
  [a, b]: readonly [number, number],
  landmarks: Candidate['landmarks'],
): Candidate | null {
  const [first, second] = [scans[a]!, scans[b]!]
  const size = Math.min(first.sketch.length, second.sketch.length)
  const shared = countShared(first.sketch, second.sketch)
  // small volumes have short sketches: half of one proves as much
  const proven = shared >= Math.min(MIN_SHARED_PATTERNS, Math.max(3, size / 2))
  if (!proven && landmarks === null) return null
  return { a, b, sharedPatterns: size === 0 ? 0 : shared / size, proven, landmarks }
}

function bestReadings(a: readonly Landmarks[], b: readonly Landmarks[]): Candidate['landmarks'] {
  let best: Candidate['landmarks'] = null
  for (const [readingA, one] of a.entries())
    for (const [readingB, other] of b.entries()) {
      const match = matchLandmarks(one, other)
      if (match && match.votes >= Math.max(MIN_VOTES, (best?.votes ?? 0) + 1))
        best = { readingA, readingB, ...match }
    }
  return best
}

function countShared(a: Float64Array, b: Float64Array): number {
  const inB = new Set(b)
  return a.filter((hash) => inB.has(hash)).length
}

/** Words that a few scans share, with their owners. */
interface Words {
  /** Scans of word w, sorted: from `start[w]` to `start[w + 1]`. */
  readonly owners: Uint32Array
  readonly start: Uint32Array
  /** Words of scan s: from `startOfScan[s]` to `startOfScan[s + 1]`. */
  readonly words: Uint32Array
  readonly startOfScan: Uint32Array
}

/** Call `visit` with every key of a scan. */
type VisitKeys = (scan: Searchable, visit: (key: number) => void) => void

/** Parts in which keys are sorted: sorting all keys of 160,000 scans at once would take 250 MB more. */
const PART_BITS = 2

/** Return the keys that at least two scans have, without the common ones, in several tables. */
function wordsOf(scans: readonly Searchable[], visitKeys: VisitKeys): Words[] {
  return Array.from({ length: 2 ** PART_BITS }, (_, part) => {
    const isOfPart = (key: number): boolean => Math.imul(key, 0x9e3779b1) >>> (32 - PART_BITS) === part
    return sharedWords(sortByKey(...joined(scans, visitKeys, isOfPart)), scans.length)
  })
}

function sharedWords({ keys, owners: all }: Sorted, numScans: number): Words {
  const total = keys.length
  const [owners, start] = [new Uint32Array(total), new Uint32Array(total + 1)]
  let [count, used] = [0, 0]
  for (let from = 0; from < total; ) {
    let to = from
    const first = used
    for (; to < total && keys[to] === keys[from]; to++)
      if (used === first || owners[used - 1] !== all[to]) owners[used++] = all[to]!
    from = to
    if (used - first > 1 && used - first <= COMMON_KEY) start[++count] = used
    else used = first
  }
  const kept = { owners: owners.slice(0, used), start: start.slice(0, count + 1) }
  return { ...kept, ...byScan(kept, numScans) }
}

/** Return the keys of a part, and the scan of each. */
function joined(
  scans: readonly Searchable[],
  visitKeys: VisitKeys,
  isOfPart: (key: number) => boolean,
): [Uint32Array, Uint32Array] {
  let total = 0
  for (const scan of scans)
    visitKeys(scan, (key) => {
      if (isOfPart(key)) total++
    })
  const [keys, owners] = [new Uint32Array(total), new Uint32Array(total)]
  let at = 0
  for (const [owner, scan] of scans.entries())
    visitKeys(scan, (key) => {
      if (!isOfPart(key)) return
      keys[at] = key
      owners[at++] = owner
    })
  return [keys, owners]
}

/** Return the words of each scan, by inverting the table. */
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

  /** Return the later scans that share at least `least` words with scan `a`. */
  partnersOf(a: number): number[] {
    const found: number[] = []
    for (const { owners, start, words, startOfScan } of this.tables)
      for (let at = startOfScan[a]!; at < startOfScan[a + 1]!; at++) {
        const word = words[at]!
        // from the end: pairs with earlier scans were counted before
        for (let n = start[word + 1]! - 1; owners[n]! > a; n--)
          if (this.counts[owners[n]!]!++ === 0) found.push(owners[n]!)
      }
    const partners = found.filter((b) => this.counts[b]! >= this.least)
    for (const b of found) this.counts[b] = 0
    return partners
  }
}

interface Sorted {
  readonly keys: Uint32Array
  readonly owners: Uint32Array
}

/** Sort by least-significant-digit radix sort, so that owners of equal keys keep their order. */
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
