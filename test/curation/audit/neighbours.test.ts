import { describe, expect, it } from 'vitest'
import type { Landmarks } from '../../../src/curation/audit/landmarks.js'
import { findCandidates } from '../../../src/curation/audit/neighbours.js'
import { phantomRandom } from '../../../src/phantom/random.js'
import { candidatesOf, type DescribedScan } from '../../helpers/audit-candidates.js'

const random = phantomRandom(7, 0)
// a draw has 24 random bits
const bits = (count: number) => Math.floor(random.uniform() * 2 ** count)
const word = () => bits(16) * 2 ** 16 + bits(16)
const hash = () => bits(24) * 2 ** 24 + bits(24)

function landmarks(count: number): Landmarks {
  return {
    mm: Float32Array.from({ length: 3 * count }, () => 300 * random.uniform()),
    keys: Uint32Array.from({ length: 3 * count }, word),
  }
}

function scan(): DescribedScan {
  return { sketch: Array.from({ length: 64 }, hash).sort((a, b) => a - b), landmarks: [landmarks(96)] }
}

/** Half of the landmarks, moved; the rest are new. */
function movedCopy({ mm, keys }: Landmarks, by: number): Landmarks {
  const other = landmarks(96)
  other.mm.set(mm.subarray(0, 144).map((value) => value - by))
  other.keys.set(keys.subarray(0, 144))
  return other
}

describe('findCandidates', () => {
  it('finds the few scans that share landmarks or patterns among many that share nothing', async () => {
    const scans = Array.from({ length: 300 }, scan)
    const copy = { sketch: scan().sketch, landmarks: [movedCopy(scans[17]!.landmarks[0]!, 12)] }
    const crop = { ...scan(), sketch: [...scans[250]!.sketch.slice(0, 30), ...scan().sketch.slice(30)] }
    const found = await candidatesOf([...scans, copy, crop])
    expect(found.map(({ a, b, proven }) => [a, b, proven])).toEqual([
      [17, 300, false],
      [250, 301, true],
    ])
    expect(found[0]!.landmarks).toMatchObject({ votes: 48, readingA: 0, readingB: 0 })
    for (const mm of found[0]!.landmarks!.offsetMm) expect(mm).toBeCloseTo(12, 3)
    expect(found[1]!.sharedPatterns).toBeCloseTo(30 / 64, 3)
  })

  it('reads the landmarks of scans that share keys only', async () => {
    const scans = Array.from({ length: 300 }, scan)
    const copy = { sketch: scan().sketch, landmarks: [movedCopy(scans[17]!.landmarks[0]!, 12)] }
    const read: number[] = []
    const searchable = [...scans, copy].map(({ sketch, landmarks: [one] }) => ({
      sketch: Float64Array.from(sketch),
      landmarkKeys: one!.keys,
    }))
    await findCandidates(searchable, async (at) => {
      read.push(at)
      return [...scans, copy][at]!.landmarks
    })
    expect(read).toEqual([17, 300])
  })

  it('requires landmarks to agree on one translation, not only equal keys', async () => {
    const first = scan()
    const scattered = { ...scan(), landmarks: [{ ...landmarks(96), keys: first.landmarks[0]!.keys }] }
    expect(await candidatesOf([first, scattered])).toEqual([])
  })

  it('ignores keys that all scans have', async () => {
    const common = landmarks(96)
    const scans = Array.from({ length: 80 }, () => ({ sketch: [], landmarks: [common] }))
    expect(await candidatesOf(scans)).toEqual([])
  })
})
