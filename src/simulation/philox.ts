const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85
const ROUNDS = 10

/**
 * Return four random 32-bit words from a counter of four words and a key of two: Philox4x32-10 (Salmon et
 * al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). There is no state: equal counters and keys
 * give equal words.
 * @param out receives the four words
 */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
  out: Uint32Array,
): void {
  philoxWords(counter[0], counter[1], counter[2], counter[3], key[0], key[1], out)
}

/**
 * Compute `philox` without arrays: a stream computes fifty blocks per tumor, and would allocate two arrays
 * for each.
 */
export function philoxWords(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
): void {
  for (let round = 0; round < ROUNDS; round++) {
    const low0 = Math.imul(c0, MULTIPLIER_0)
    const low1 = Math.imul(c2, MULTIPLIER_1)
    const next0 = highWord(c2, MULTIPLIER_1) ^ c1 ^ k0
    const next2 = highWord(c0, MULTIPLIER_0) ^ c3 ^ k1
    c0 = next0
    c1 = low1
    c2 = next2
    c3 = low0
    k0 = (k0 + WEYL_0) | 0
    k1 = (k1 + WEYL_1) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** Return the upper 32 bits of the product of two 32-bit words, from halves of 16 bits. */
function highWord(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const lowHigh = Math.imul(aLow, bHigh)
  const highLow = Math.imul(aHigh, bLow)
  const carry = (Math.imul(aLow, bLow) >>> 16) + (lowHigh & 0xffff) + (highLow & 0xffff)
  return (Math.imul(aHigh, bHigh) + (lowHigh >>> 16) + (highLow >>> 16) + (carry >>> 16)) | 0
}
