import type { Vec3 } from '../volume/volume.js'

/** Numbers for phantoms: a small fast counter generator (sfc32), one for each case. */
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

/** A smooth random field of unit scale: normal values on a grid of `cellVoxels`, interpolated between (C order). */
export function smoothField(random: PhantomRandom, shape: Vec3, cellVoxels: number): Float32Array {
  const grid = shape.map((side) => Math.ceil(side / cellVoxels) + 2) as [number, number, number]
  const values = Float32Array.from({ length: grid[0] * grid[1] * grid[2] }, () => random.normal())
  const at = (i: number, j: number, k: number): number => values[(i * grid[1] + j) * grid[2] + k]!
  const field = new Float32Array(shape[0] * shape[1] * shape[2])
  let voxel = 0
  for (let i = 0; i < shape[0]; i++) {
    const x = eased(i / cellVoxels)
    for (let j = 0; j < shape[1]; j++) {
      const y = eased(j / cellVoxels)
      for (let k = 0; k < shape[2]; k++) {
        const z = eased(k / cellVoxels)
        const low = mix(
          mix(at(x.cell, y.cell, z.cell), at(x.cell + 1, y.cell, z.cell), x.part),
          mix(at(x.cell, y.cell + 1, z.cell), at(x.cell + 1, y.cell + 1, z.cell), x.part),
          y.part,
        )
        const high = mix(
          mix(at(x.cell, y.cell, z.cell + 1), at(x.cell + 1, y.cell, z.cell + 1), x.part),
          mix(at(x.cell, y.cell + 1, z.cell + 1), at(x.cell + 1, y.cell + 1, z.cell + 1), x.part),
          y.part,
        )
        field[voxel++] = mix(low, high, z.part)
      }
    }
  }
  return field
}

/** White noise averaged with its neighbours along each axis, brought back to unit variance: the grain of a CT. */
export function grain(random: PhantomRandom, shape: Vec3): Float32Array {
  let noise = Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, () => random.normal())
  for (const stride of [1, shape[2], shape[1] * shape[2]]) {
    const blurred = new Float32Array(noise.length)
    for (let v = 0; v < noise.length; v++) {
      const before = noise[v - stride] ?? 0
      const after = noise[v + stride] ?? 0
      // weights 1/4, 1/2, 1/4 leave 3/8 of the variance
      blurred[v] = (before / 4 + noise[v]! / 2 + after / 4) / Math.sqrt(3 / 8)
    }
    noise = blurred
  }
  return noise
}

function eased(position: number): { readonly cell: number; readonly part: number } {
  const cell = Math.floor(position)
  const t = position - cell
  return { cell, part: t * t * (3 - 2 * t) }
}

function mix(a: number, b: number, t: number): number {
  return a + (b - a) * t
}
