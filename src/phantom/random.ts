import type { Vec3 } from '../volume/volume.js'

/** Random numbers of phantoms: a small fast counter generator (sfc32), one for each case. */
export interface PhantomRandom {
  /** [0, 1) */
  uniform(): number
  between(low: number, high: number): number
  normal(): number
  chance(probability: number): boolean
}

export function phantomRandom(seed: number, index: number): PhantomRandom {
  let [a, b, c, counter] = [seed >>> 0, (seed / 2 ** 32) >>> 0, index >>> 0, 1]
  const next = (): number => {
    const sum = (a + b + counter++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    c |= 0
    return (sum >>> 0) / 2 ** 32
  }
  for (let warmUp = 0; warmUp < 15; warmUp++) next()
  return {
    uniform: next,
    between: (low, high) => low + (high - low) * next(),
    chance: (probability) => next() < probability,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  }
}

/**
 * Return a smooth random field of unit scale: normal values on a grid of `cellVoxels`, interpolated between
 * (C order).
 */
export function smoothField(random: PhantomRandom, shape: Vec3, cellVoxels: number): Float32Array {
  const grid = shape.map((side) => Math.ceil(side / cellVoxels) + 2) as [number, number, number]
  const values = Float32Array.from({ length: grid[0] * grid[1] * grid[2] }, () => random.normal())
  const [x, y, z] = shape.map((side) => eased(side, cellVoxels)) as [Eased, Eased, Eased]
  const [ofI, ofJ] = [grid[1] * grid[2], grid[2]]
  const field = new Float32Array(shape[0] * shape[1] * shape[2])
  let voxel = 0
  for (let i = 0; i < shape[0]; i++) {
    for (let j = 0; j < shape[1]; j++) {
      const corner = x.cell[i]! * ofI + y.cell[j]! * ofJ
      // the four corners in the plane, at position `at` of the last axis
      const plane = (at: number): number =>
        mix(
          mix(values[corner + at]!, values[corner + ofI + at]!, x.part[i]!),
          mix(values[corner + ofJ + at]!, values[corner + ofI + ofJ + at]!, x.part[i]!),
          y.part[j]!,
        )
      let cell = -1
      let [low, high] = [0, 0]
      for (let k = 0; k < shape[2]; k++) {
        if (z.cell[k] !== cell) {
          cell = z.cell[k]!
          low = plane(cell)
          high = plane(cell + 1)
        }
        field[voxel++] = mix(low, high, z.part[k]!)
      }
    }
  }
  return field
}

/**
 * Return white noise averaged with its neighbours along each axis, rescaled to unit variance: the grain of a
 * CT.
 */
export function grain(random: PhantomRandom, shape: Vec3): Float32Array {
  let noise = new Float32Array(shape[0] * shape[1] * shape[2])
  for (let v = 0; v < noise.length; v++) noise[v] = random.normal()
  for (const stride of [1, shape[2], shape[1] * shape[2]]) {
    const blurred = new Float32Array(noise.length)
    for (let v = 0; v < noise.length; v++) {
      // an index below 0 would slow down every read
      const before = v < stride ? 0 : noise[v - stride]!
      const after = noise[v + stride] ?? 0
      // weights 1/4, 1/2, 1/4 leave 3/8 of the variance
      blurred[v] = (before / 4 + noise[v]! / 2 + after / 4) / Math.sqrt(3 / 8)
    }
    noise = blurred
  }
  return noise
}

/** Grid cell of each voxel along an axis, and its position in the cell, eased in and out. */
interface Eased {
  readonly cell: Int32Array
  readonly part: Float64Array
}

function eased(side: number, cellVoxels: number): Eased {
  const cell = Int32Array.from({ length: side }, (_, at) => Math.floor(at / cellVoxels))
  const part = Float64Array.from(cell, (of, at) => {
    const t = at / cellVoxels - of
    return t * t * (3 - 2 * t)
  })
  return { cell, part }
}

function mix(a: number, b: number, t: number): number {
  return a + (b - a) * t
}
