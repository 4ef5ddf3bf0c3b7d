import type { MeasuredRange } from './sections/simulation.js'

/** Kinds of ranges; an entry has one of them. */
const KINDS = ['diameterMm', 'depthMm', 'contrastHu'] as const
type Ends = readonly [number | null, number | null]

/** Two entries whose ranges overlap, by their positions in the list. */
export interface Overlap {
  readonly first: number
  readonly second: number
  readonly kind: (typeof KINDS)[number]
  /** Expected and found values, in words. */
  readonly fault: string
}

/** The fix of overlapping ranges. */
export const OVERLAP_HINT = 'correct the ends; of equal ranges, keep one with the sums of found and missed'

/**
 * Return two ranges of one kind and organ that overlap: a tumor in both would count twice, and be drawn too often. Null if
 * there are none. An open end has no limit here, because the range counts all tumors beyond its other end.
 */
export function overlapOf(measured: readonly MeasuredRange[]): Overlap | null {
  for (const kind of KINDS) {
    const ranges = measured
      .flatMap(({ organ, [kind]: ends }, at) =>
        ends === undefined ? [] : [{ organ, at, ends: ends as Ends }],
      )
      .sort((a, b) => a.organ.localeCompare(b.organ) || startOf(a.ends) - startOf(b.ends) || a.at - b.at)
    for (const [next, right] of ranges.slice(1).entries()) {
      const left = ranges[next]!
      if (left.organ !== right.organ || startOf(right.ends) >= (left.ends[1] ?? Infinity)) continue
      const [one, two] = left.at < right.at ? [left, right] : [right, left]
      return {
        first: one.at,
        second: two.at,
        kind,
        fault: `(expected ranges of ${one.organ} without a common part, found ${JSON.stringify(one.ends)} and ${JSON.stringify(two.ends)})`,
      }
    }
  }
  return null
}

function startOf([from]: Ends): number {
  return from ?? -Infinity
}
