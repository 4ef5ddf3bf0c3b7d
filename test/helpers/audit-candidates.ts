import type { Landmarks } from '../../src/curation/audit/landmarks.js'
import { type Candidate, findCandidates } from '../../src/curation/audit/neighbours.js'

/** A scan of an audit with its landmarks in memory. */
export interface DescribedScan {
  readonly sketch: readonly number[]
  /** One set per possible meaning of the numbers. */
  readonly landmarks: readonly Landmarks[]
}

/** Return the candidate pairs of scans whose landmarks are in memory. */
export async function candidatesOf(scans: readonly DescribedScan[]): Promise<Candidate[]> {
  const searchable = scans.map(({ sketch, landmarks }) => ({
    sketch: Float64Array.from(sketch),
    landmarkKeys: Uint32Array.from(landmarks.flatMap(({ keys }) => [...keys])),
  }))
  return await findCandidates(searchable, async (scan) => scans[scan]!.landmarks)
}
