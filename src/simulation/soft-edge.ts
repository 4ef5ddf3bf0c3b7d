import type { PlacedMask } from './shape.js'
import type { TumorSite } from './site.js'

/**
 * Return the mean weight of the soft edge over the organ voxels of a tumor, above 0 and at most 1 (docs/method.md#54-edge-and-label).
 * Unlike the painted weight, it counts no real tumor in the shape, and nothing beyond the site.
 * @param sigma of the blur, in voxels
 */
export function meanEdgeWeight({ box, origin }: PlacedMask, site: TumorSite, sigma: number): number {
  const [nx, ny, nz] = box.shape
  const edge = new Float32Array(nx * ny * nz)
  let voxels = 0
  for (let x = 0, at = 0; x < nx; x++)
    for (let y = 0; y < ny; y++) {
      const row = ((origin[0] + x) * site.shape[1] + origin[1] + y) * site.shape[2] + origin[2]
      for (let z = 0; z < nz; z++, at++)
        if (box.data[at] === 1 && site.label[row + z] === site.organLabel) {
          edge[at] = 1
          voxels++
        }
    }
  const kernel = gaussian(sigma)
  const blurred = blur(blur(blur(edge, nx, ny * nz, kernel), ny, nz, kernel), nz, 1, kernel)
  let sum = 0
  for (let at = 0; at < edge.length; at++) if (edge[at] === 1) sum += blurred[at]!
  return sum / voxels
}

/** Blur along an axis of `length` voxels that are `stride` apart; outside the box is 0. */
function blur(from: Float32Array, length: number, stride: number, kernel: readonly number[]): Float32Array {
  const to = new Float32Array(from.length)
  for (let at = 0; at < from.length; at++) {
    if (from[at] === 0) continue
    const place = Math.floor(at / stride) % length
    const [low, high] = [Math.max(0, place + 1 - kernel.length), Math.min(length, place + kernel.length)]
    for (let other = low; other < high; other++)
      to[at + (other - place) * stride]! += from[at]! * kernel[Math.abs(other - place)]!
  }
  return to
}

/** Return the weights at 0, 1, ... voxels from the middle, cut at int(4 sigma + 0.5), that sum to 1 on both sides. */
function gaussian(sigma: number): number[] {
  const weights = Array.from({ length: Math.floor(4 * sigma + 0.5) + 1 }, (_, at) =>
    Math.exp(-0.5 * (at / sigma) ** 2),
  )
  const sum = weights.reduce((total, weight, at) => total + (at === 0 ? weight : 2 * weight), 0)
  return weights.map((weight) => weight / sum)
}
