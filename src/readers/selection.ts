import { openStream } from '../simulation/random.js'
import type { Side } from './study.js'

/** A tumor that may become a case. */
export interface CaseCandidate {
  readonly side: Side
  readonly organ: string
  /** Class of sizes; see `sizeClass`. */
  readonly size: string
  /** Cases are matched within a group: a data set, or a group of patients that the user names. */
  readonly group: string
  /** Patient of the scan; of a synthetic scan, the patient of its host CT. */
  readonly patient: string
  /** Names of the scan and of its host CT, by content: no two cases may share one. */
  readonly scans: readonly string[]
}

export interface DrawnPairs<T> {
  /** Pairs of a real and a synthetic case of one organ, size and group. */
  readonly pairs: readonly (readonly [real: T, synthetic: T])[]
  /** Number of pairs that could be made in all, at most `pairs`. */
  readonly possible: number
}

/** Lower ends of the size classes, by the diameter of the sphere of equal volume. */
const SIZES: readonly (readonly [fromMm: number, name: string])[] = [
  [50, 'over 50 mm'],
  [20, '20 to 50 mm'],
  [10, '10 to 20 mm'],
  [0, 'below 10 mm'],
]

/** Names of the size classes, smallest first. */
export const SIZE_NAMES: readonly string[] = SIZES.map(([, name]) => name).reverse()

/** Return the size class of a tumor. */
export function sizeClass(diameterMm: number): string {
  return SIZES.find(([from]) => diameterMm >= from)![1]
}

/**
 * Draw pairs of a real and a synthetic case. Organs take turns, and the size classes of each organ; both cases of a pair have
 * one organ, size class and group. No patient, scan or host CT appears twice, on either side.
 * @param isUsable asked once for a drawn candidate; false leaves it out
 */
export async function drawPairs<T extends CaseCandidate>(
  candidates: readonly T[],
  wanted: number,
  seed: number,
  isUsable: (one: T) => Promise<boolean>,
): Promise<DrawnPairs<T>> {
  const random = openStream([seed, 'readers', 'selection'])
  const mixed = random.permutation(candidates.length).map((at) => candidates[at]!)
  const strata = new Map<string, Map<string, Record<Side, T[]>>>()
  for (const one of mixed) {
    const key = JSON.stringify([one.size, one.group])
    const ofOrgan = strata.get(one.organ) ?? new Map<string, Record<Side, T[]>>()
    const stratum = ofOrgan.get(key) ?? { real: [], synthetic: [] }
    stratum[one.side].push(one)
    ofOrgan.set(key, stratum)
    strata.set(one.organ, ofOrgan)
  }
  // a seeded order of organs and strata, independent of the order of the files
  const organs = [...strata].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, ofOrgan]) => [...ofOrgan])
  for (const ofOrgan of organs) ofOrgan.sort(([a], [b]) => (a < b ? -1 : 1))
  const used = new Set<string>()
  const isFree = ({ patient, scans }: T): boolean =>
    !used.has(`patient ${patient}`) && !scans.some((scan) => used.has(`scan ${scan}`))
  const isGood = async (one: T): Promise<boolean> => isFree(one) && (await isUsable(one))
  /** Return the next pair of a stratum; null if it has none left. */
  const next = async ({ real, synthetic }: Record<Side, T[]>): Promise<[T, T] | null> => {
    for (let one = real.shift(); one !== undefined; one = real.shift()) {
      if (synthetic.length === 0) return null
      if (!(await isGood(one))) continue
      // a synthetic case of the same patient stays for another real one
      for (let at = 0; at < synthetic.length; ) {
        const other = synthetic[at]!
        if (overlap(one, other)) {
          at++
          continue
        }
        synthetic.splice(at, 1)
        if (await isGood(other)) return [one, other]
      }
    }
    return null
  }
  const pairs: [T, T][] = []
  while (pairs.length < wanted && organs.some((ofOrgan) => ofOrgan.length > 0))
    for (const ofOrgan of organs) {
      if (pairs.length >= wanted) break
      while (ofOrgan.length > 0) {
        const entry = ofOrgan.shift()!
        const pair = await next(entry[1])
        // an exhausted stratum takes no further turn
        if (pair === null) continue
        for (const { patient, scans } of pair)
          for (const key of [`patient ${patient}`, ...scans.map((scan) => `scan ${scan}`)]) used.add(key)
        pairs.push(pair)
        ofOrgan.push(entry)
        break
      }
    }
  return { pairs, possible: pairs.length }
}

function overlap(a: CaseCandidate, b: CaseCandidate): boolean {
  return a.patient === b.patient || a.scans.some((scan) => b.scans.includes(scan))
}
