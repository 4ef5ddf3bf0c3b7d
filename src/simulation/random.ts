import { createHash } from 'node:crypto'
import { philox, philoxWords } from './philox.js'

/**
 * Random numbers of one purpose. Each purpose has a stream of its own, so an added draw never shifts another
 * purpose, and an item needs no earlier item.
 */
export interface RandomStream {
  /** Uniform on [0, 1), with 53 bits. */
  uniform(): number
  /** Uniform on [low, high). */
  uniformIn(low: number, high: number): number
  /**
   * Uniform integer on [low, high], both ends included, without bias.
   * @throws RangeError for an empty range
   */
  integer(low: number, high: number): number
  /** Standard normal. */
  normal(): number
  /** Gamma of the given shape (above 0) and scale 1. */
  gamma(shape: number): number
  /** Beta(a, b), both above 0. */
  beta(a: number, b: number): number
  /** 0 to n - 1 in random order. */
  permutation(n: number): number[]
  /**
   * Index drawn in proportion to its weight.
   * @throws RangeError if no weight is above 0 or one is below 0
   */
  pick(weights: readonly number[]): number
}

/** Key of the random numbers of an item. */
export interface StreamKey {
  readonly seed: number
  readonly job: string
  /** Position k of the item in the whole training, from 0. */
  readonly item: number
  readonly crop: number
  /** The purpose: a short name or number. Never change it: it decides the numbers. */
  readonly draw: string | number
}

/** Parts of a key of any length; numbers must be finite. */
export type KeyParts = readonly (string | number)[]

/** Return the stream of one purpose of one crop of one item. */
export function randomStream({ seed, job, item, crop, draw }: StreamKey): RandomStream {
  return openStream([seed, job, item, crop, draw])
}

/** Return the stream of any key; keys that differ in any part give independent streams. */
export function openStream(key: KeyParts): RandomStream {
  const words = nextWords(key)
  const uniform = () => {
    const high = words() >>> 5
    return (high * 0x4000000 + (words() >>> 6)) / 2 ** 53
  }
  const integer = (low: number, high: number) => low + below(high - low + 1, words, uniform)
  // Box-Muller without the second value: the stream then has no state except its position
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  const logGamma = (shape: number) => drawLogGamma(shape, uniform, normal)
  return {
    uniform,
    uniformIn: (low, high) => low + (high - low) * uniform(),
    integer,
    normal,
    gamma: (shape) => Math.exp(logGamma(shape)),
    // by logarithms: at small a and b both gammas may underflow
    beta: (a, b) => {
      const log = logGamma(a)
      return 1 / (1 + Math.exp(logGamma(b) - log))
    },
    permutation: (n) => drawPermutation(n, integer),
    pick: (weights) => drawIndex(weights, uniform),
  }
}

const FEISTEL_ROUNDS = 8
// fewer bits mix badly; a small range only walks a little longer
const MIN_HALF_BITS = 4

/**
 * Return the place of `index` in a keyed random permutation of 0 to n - 1, without storing the permutation: a
 * Feistel network over the next even power of two, walked until it lands inside.
 * @param n 1 to 2^52
 */
export function permuteIndex(index: number, n: number, key: KeyParts): number {
  if (!Number.isInteger(n) || n < 1 || n > 2 ** 52 || !Number.isInteger(index) || index < 0 || index >= n)
    throw new RangeError(`permuteIndex: wrong index (expected 0 to ${n - 1}, found ${index})`)
  const [key0, key1, salt0, salt1] = hashKey(key)
  const halfBits = Math.max(MIN_HALF_BITS, Math.ceil(Math.log2(n) / 2))
  const half = 2 ** halfBits
  const out = new Uint32Array(4)
  let place = index
  do {
    let left = Math.floor(place / half)
    let right = place % half
    for (let round = 0; round < FEISTEL_ROUNDS; round++) {
      philox([right, round, salt0, salt1], [key0, key1], out)
      const next = left ^ (out[0]! & (half - 1))
      left = right
      right = next
    }
    place = left * half + right
  } while (place >= n)
  return place
}

/** Return the words of a stream in turn: the hash of the key gives Philox's key and half of its counter. */
function nextWords(key: KeyParts): () => number {
  const [key0, key1, salt0, salt1] = hashKey(key)
  const out = new Uint32Array(4)
  let block = 0
  let used = 4
  return () => {
    if (used === 4) {
      philoxWords(block >>> 0, Math.floor(block / 2 ** 32), salt0, salt1, key0, key1, out)
      block++
      used = 0
    }
    return out[used++]!
  }
}

function hashKey(key: KeyParts): readonly [number, number, number, number] {
  const broken = key.find((part) => typeof part === 'number' && !Number.isFinite(part))
  if (broken !== undefined)
    throw new RangeError(`random stream: wrong key (expected finite numbers, found ${broken})`)
  const digest = createHash('sha256').update(JSON.stringify(key)).digest()
  return [digest.readUInt32LE(0), digest.readUInt32LE(4), digest.readUInt32LE(8), digest.readUInt32LE(12)]
}

/** Return a uniform integer on [0, count), by rejection of the incomplete last round. */
function below(count: number, words: () => number, uniform: () => number): number {
  if (!(Number.isInteger(count) && count >= 1 && count <= 2 ** 53))
    throw new RangeError(`random integer: wrong range (expected 1 to 2^53 integers, found ${count})`)
  const [span, draw] =
    count <= 2 ** 32 ? ([2 ** 32, words] as const) : ([2 ** 53, () => uniform() * 2 ** 53] as const)
  const limit = span - (span % count)
  for (;;) {
    const value = draw()
    if (value < limit) return value % count
  }
}

/**
 * Return the logarithm of a gamma variate (Marsaglia and Tsang, 2000; below shape 1 by their power of a
 * uniform number).
 */
function drawLogGamma(shape: number, uniform: () => number, normal: () => number): number {
  if (!(shape > 0)) throw new RangeError(`gamma: wrong shape (expected a number above 0, found ${shape})`)
  if (shape < 1) return drawLogGamma(shape + 1, uniform, normal) + Math.log(1 - uniform()) / shape
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const x = normal()
    const v = (1 + c * x) ** 3
    if (v > 0 && Math.log(1 - uniform()) < 0.5 * x * x + d * (1 - v + Math.log(v))) return Math.log(d * v)
  }
}

function drawPermutation(n: number, integer: (low: number, high: number) => number): number[] {
  const order = Array.from({ length: n }, (_, at) => at)
  for (let last = n - 1; last > 0; last--) {
    const other = integer(0, last)
    const kept = order[last]!
    order[last] = order[other]!
    order[other] = kept
  }
  return order
}

function drawIndex(weights: readonly number[], uniform: () => number): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  if (!(total > 0 && Number.isFinite(total)) || weights.some((weight) => weight < 0))
    throw new RangeError(`pick: wrong weights (expected 0 or more and not all 0, found [${weights}])`)
  let rest = uniform() * total
  for (let index = 0; index < weights.length; index++) {
    if (rest < weights[index]!) return index
    rest -= weights[index]!
  }
  return weights.findLastIndex((weight) => weight > 0)
}
