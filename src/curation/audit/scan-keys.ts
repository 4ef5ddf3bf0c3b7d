import type { Reading } from './coarse-grid.js'
import type { Fingerprint } from './fingerprint.js'
import { decodeLandmarks } from './landmarks.js'

/**
 * Data by which an audit searches the copies of a scan: about 2 KB, so that those of 100,000 scans fit into memory. The places
 * of the landmarks stay on disk.
 */
export interface ScanKeys {
  /** As in a fingerprint. */
  readonly exact: string
  readonly sketch: Float64Array
  /** Keys of the landmarks of all readings. */
  readonly landmarkKeys: Uint32Array
  readonly readings: readonly Reading[]
}

/** `problem`: a sentence that names the file. */
export type ScanAnswer = ScanKeys | { readonly problem: string }

/**
 * Return a function that returns the part of a fingerprint that searches copies. The arrays of many scans lie in common
 * blocks: one buffer for each array would take 200 bytes more per array.
 */
export function scanKeysStore(): (fingerprint: Fingerprint) => ScanKeys {
  const room = roomInBlocks()
  const readings = new Map<string, readonly Reading[]>()
  return ({ exact, sketch, landmarks }) => {
    const keys = landmarks.map(({ encoded }) => decodeLandmarks(encoded).keys)
    const landmarkKeys = new Uint32Array(
      ...room(
        keys.reduce((sum, { length }) => sum + length, 0),
        4,
      ),
    )
    let at = 0
    for (const own of keys) {
      landmarkKeys.set(own, at)
      at += own.length
    }
    const patterns = new Float64Array(...room(sketch.length, 8))
    patterns.set(sketch)
    const own = landmarks.map(({ reading }) => reading)
    // most scans have the same reading
    const text = JSON.stringify(own)
    const shared = readings.get(text) ?? own
    readings.set(text, shared)
    return { exact, sketch: patterns, landmarkKeys, readings: shared }
  }
}

const BLOCK_BYTES = 2 ** 20

/** Return a function that returns the place of a new array: its buffer, offset in bytes, and length. */
function roomInBlocks(): (length: number, bytesEach: number) => [ArrayBuffer, number, number] {
  let block = new ArrayBuffer(0)
  let used = 0
  return (length, bytesEach) => {
    const bytes = length * bytesEach
    if (used + bytes > block.byteLength) {
      block = new ArrayBuffer(Math.max(BLOCK_BYTES, bytes))
      used = 0
    }
    const at = used
    used += Math.ceil(bytes / 8) * 8
    return [block, at, length]
  }
}
