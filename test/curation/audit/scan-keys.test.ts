import { expect, test } from 'vitest'
import type { Fingerprint } from '../../../src/curation/audit/fingerprint.js'
import { encodeLandmarks } from '../../../src/curation/audit/landmarks.js'
import { scanKeysStore } from '../../../src/curation/audit/scan-keys.js'

const SOFT = { low: -175, high: 250 }

/** A fingerprint of a scan with this many patterns, and landmarks per reading. */
function print(seed: number, patterns: number, landmarks: readonly number[]): Fingerprint {
  return {
    version: 1,
    exact: String(seed),
    shape: [1, 1, 1],
    sketch: Array.from({ length: patterns }, (_, at) => 2 ** 40 * seed + at),
    landmarks: landmarks.map((count) => ({ reading: SOFT, encoded: encodeLandmarks(placed(seed, count)) })),
  }
}

function placed(seed: number, count: number) {
  return {
    mm: Float32Array.from({ length: 3 * count }, (_, at) => at),
    keys: Uint32Array.from({ length: 3 * count }, (_, at) => 2 ** 20 * seed + at),
  }
}

test('keeps patterns and landmark keys of every scan, of any size', () => {
  const keysOf = scanKeysStore()
  const sizes: [number, number[]][] = [
    [64, [3]],
    [0, []],
    [7, [1, 5]],
    [3, [0]],
    [200_000, [2]],
    [64, [96, 96]],
  ]
  const kept = sizes.map(([patterns, landmarks], seed) => keysOf(print(seed, patterns, landmarks)))
  for (const [seed, [patterns, landmarks]] of sizes.entries()) {
    const fingerprint = print(seed, patterns, landmarks)
    const keys = landmarks.flatMap((count) => [...placed(seed, count).keys])
    expect([...kept[seed]!.sketch]).toEqual(fingerprint.sketch)
    expect([...kept[seed]!.landmarkKeys]).toEqual(keys)
    expect(kept[seed]!.readings).toEqual(landmarks.map(() => SOFT))
    expect(kept[seed]!.exact).toBe(String(seed))
  }
})

test('keeps the arrays of many scans in few buffers', () => {
  const keysOf = scanKeysStore()
  const kept = Array.from({ length: 100 }, (_, seed) => keysOf(print(seed, 64, [96])))
  expect(new Set(kept.flatMap(({ sketch, landmarkKeys }) => [sketch.buffer, landmarkKeys.buffer])).size).toBe(
    1,
  )
})
