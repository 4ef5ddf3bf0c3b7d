/**
 * Measure the Dice of a threshold with the true organ: if it finds the tumors, the phantoms are too easy for any
 * conclusion. It uses values smoothed over 3^3 voxels of the organ, minus the organ's median in the case. It labels as
 * tumor the values between two limits, chosen for each organ by the very cases that it is scored on.
 */
export interface OracleCase {
  /** HU, C order. */
  readonly image: ArrayLike<number>
  readonly label: ArrayLike<number>
  readonly shape: readonly [number, number, number]
}

export interface OrganIds {
  readonly label: number
  readonly tumorLabel: number
}

export interface OracleScore {
  /** Mean tumor Dice over the cases with a tumor. */
  readonly tumorDice: number
  /** HU from the organ's median, by organ label. */
  readonly limitsHu: Readonly<Record<string, readonly [low: number, high: number]>>
}

const BIN_HU = 4
const LOWEST_HU = -400
const BINS = 200

/**
 * Histogram of one organ in one case: voxels below each limit, of tumor and of the whole organ; `[b]` counts bins below
 * b.
 */
interface Cumulated {
  readonly tumor: Uint32Array
  readonly all: Uint32Array
}

export function thresholdOracle(cases: readonly OracleCase[], organs: readonly OrganIds[]): OracleScore {
  const counted = organs.map((organ) => cases.map((one) => cumulate(one, organ)))
  const limits = counted.map(bestLimits)
  const scores = cases.flatMap((_, at) => {
    const parts = counted.map((organ, n) => within(organ[at]!, limits[n]!))
    const [both, called, real] = [0, 1, 2].map((k) => parts.reduce((sum, part) => sum + part[k]!, 0))
    return real === 0 ? [] : [(2 * both!) / (called! + real!)]
  })
  const inHu = (bin: number): number => LOWEST_HU + bin * BIN_HU
  return {
    tumorDice: scores.reduce((sum, score) => sum + score, 0) / Math.max(1, scores.length),
    limitsHu: Object.fromEntries(
      organs.map(({ label }, n) => [String(label), [inHu(limits[n]![0]), inHu(limits[n]![1])] as const]),
    ),
  }
}

function cumulate({ image, label, shape }: OracleCase, organ: OrganIds): Cumulated {
  const inside: number[] = []
  for (let v = 0; v < label.length; v++)
    if (label[v] === organ.label || label[v] === organ.tumorLabel) inside.push(v)
  const mask = new Uint8Array(label.length)
  for (const v of inside) mask[v] = 1
  const smoothed = inside.map((v) => meanAround(image, mask, shape, v))
  const median = smoothed.toSorted((a, b) => a - b)[smoothed.length >> 1] ?? 0
  const [tumor, all] = [new Uint32Array(BINS + 1), new Uint32Array(BINS + 1)]
  for (const [n, v] of inside.entries()) {
    const bin = Math.floor((smoothed[n]! - median - LOWEST_HU) / BIN_HU)
    const at = Math.min(BINS, Math.max(0, bin) + 1)
    all[at]!++
    if (label[v] === organ.tumorLabel) tumor[at]!++
  }
  for (let bin = 1; bin <= BINS; bin++) {
    all[bin]! += all[bin - 1]!
    tumor[bin]! += tumor[bin - 1]!
  }
  return { tumor, all }
}

function meanAround(
  image: ArrayLike<number>,
  mask: Uint8Array,
  [nx, ny, nz]: OracleCase['shape'],
  voxel: number,
): number {
  const [x, y, z] = [Math.floor(voxel / (ny * nz)), Math.floor(voxel / nz) % ny, voxel % nz]
  let [sum, count] = [0, 0]
  for (let i = Math.max(0, x - 1); i <= Math.min(nx - 1, x + 1); i++)
    for (let j = Math.max(0, y - 1); j <= Math.min(ny - 1, y + 1); j++)
      for (let k = Math.max(0, z - 1); k <= Math.min(nz - 1, z + 1); k++) {
        const neighbour = (i * ny + j) * nz + k
        if (mask[neighbour] === 0) continue
        sum += image[neighbour]!
        count++
      }
  return sum / count
}

/** Return the pair of limits of the highest mean Dice over the cases in which the organ has a tumor. */
function bestLimits(cases: readonly Cumulated[]): readonly [number, number] {
  const sick = cases.filter(({ tumor }) => tumor[BINS]! > 0)
  let best: readonly [number, number] = [0, 0]
  let highest = -1
  for (let low = 0; low < BINS; low++)
    for (let high = low + 1; high <= BINS; high++) {
      const sum = sick.reduce((total, one) => {
        const [both, called, real] = within(one, [low, high])
        return total + (2 * both) / (called + real)
      }, 0)
      if (sum > highest) [highest, best] = [sum, [low, high]]
    }
  return best
}

function within(
  { tumor, all }: Cumulated,
  [low, high]: readonly [number, number],
): readonly [both: number, called: number, real: number] {
  return [tumor[high]! - tumor[low]!, all[high]! - all[low]!, tumor[BINS]!]
}
