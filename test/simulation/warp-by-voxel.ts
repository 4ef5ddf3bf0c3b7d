import type { BoxMask } from '../../src/simulation/shape.js'
import { fillWarpMap, type PlanePart, type WarpControl } from '../../src/simulation/warp.js'

/** The planes of a tumor's three warps, in order. */
export const PLANES = [
  [0, 1],
  [1, 2],
  [0, 2],
] as const

export function wholePlane(n0: number, n1: number): PlanePart {
  return { low0: 0, high0: n0, low1: 0, high1: n1 }
}

/** One warp of a whole mask, voxel by voxel, as docs/method.md 5.2 says it. */
export function warpMask(
  { data, shape }: BoxMask,
  [a, b]: readonly [number, number],
  control: WarpControl,
): BoxMask {
  const [n0, n1] = [shape[a]!, shape[b]!]
  const from0 = new Int16Array(n0 * n1)
  const from1 = new Int16Array(n0 * n1)
  fillWarpMap(control, [n0, n1], wholePlane(n0, n1), wholePlane(n0, n1), from0, from1)
  const out = new Uint8Array(data.length)
  const voxel = [0, 0, 0]
  for (let at = 0; at < data.length; at++) {
    voxel[0] = Math.floor(at / (shape[1] * shape[2]))
    voxel[1] = Math.floor(at / shape[2]) % shape[1]
    voxel[2] = at % shape[2]
    const place = voxel[a]! * n1 + voxel[b]!
    if (from0[place]! < 0) continue
    voxel[a] = from0[place]!
    voxel[b] = from1[place]!
    out[at] = data[(voxel[0]! * shape[1] + voxel[1]!) * shape[2] + voxel[2]!]!
  }
  return { data: out, shape }
}
