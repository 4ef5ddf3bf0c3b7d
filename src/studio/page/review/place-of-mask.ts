import type { Place } from '../../review/messages.js'
import { apply } from './slices.js'
import type { LoadedVolume } from './volume.js'

/** Return the middle of the wanted voxels of a label map; null if there are none. */
export function placeOfMask(
  { voxels, shape, affine, spacingMm }: LoadedVolume,
  isWanted: (id: number) => boolean,
): Place | null {
  const sums = [0, 0, 0]
  let count = 0
  let at = 0
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, at++) {
        if (!isWanted(voxels[at]!)) continue
        sums[0]! += i
        sums[1]! += j
        sums[2]! += k
        count++
      }
  if (count === 0) return null
  const [i, j, k] = sums.map((sum) => sum / count) as [number, number, number]
  const sizeMm = Math.cbrt(count * spacingMm[0] * spacingMm[1] * spacingMm[2]) * 1.25
  return { centreMm: apply(affine, [i, j, k]), sizeMm }
}
