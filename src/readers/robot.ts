import { openStream } from '../simulation/random.js'
import { CUES, type CueName } from './cues.js'
import type { RobotFinding, Side } from './study.js'

/** The cues of one case. */
export interface RobotCase {
  readonly truth: Side
  /** Organ and group: sides are compared within it, because HU and noise differ between organs and scanners. */
  readonly stratum: string
  readonly cues: Readonly<Record<CueName, number>>
}

const LEVEL = 0.01
const PERMUTATIONS = 20_000

/**
 * Test whether cues separate the sides. Each cue is ranked within its stratum. The sides are exchanged within strata, and the
 * difference of mean ranks is compared with the observed one (two-sided). A cue separates them if its p is below 0.01 divided by the
 * number of cues.
 */
export function robotFinding(cases: readonly RobotCase[], seed: number): RobotFinding {
  const names = Object.keys(CUES) as CueName[]
  const strata = [...new Set(cases.map(({ stratum }) => stratum))].map((stratum) =>
    cases.filter((one) => one.stratum === stratum),
  )
  const threshold = LEVEL / names.length
  const cues = names.map((name) => {
    const ofSide = (side: Side): number =>
      median(cases.filter(({ truth }) => truth === side).map((one) => one.cues[name]))
    return {
      cue: name,
      unit: CUES[name],
      real: ofSide('real'),
      synthetic: ofSide('synthetic'),
      p: permutationTest(strata, name, seed),
    }
  })
  return {
    cues,
    threshold,
    separating: cues.filter(({ p }) => p < threshold).map(({ cue }) => cue),
    attainable: attainableP(strata),
  }
}

/** Return the smallest p that a permutation of these strata can give: two of all assignments are the most extreme ones. */
function attainableP(strata: readonly (readonly RobotCase[])[]): number {
  let log = 0
  for (const cases of strata) {
    const real = cases.filter(({ truth }) => truth === 'real').length
    for (let at = 1; at <= real; at++) log += Math.log((cases.length - real + at) / at)
  }
  return Math.min(1, Math.max(2 * Math.exp(-log), 1 / (PERMUTATIONS + 1)))
}

function permutationTest(strata: readonly (readonly RobotCase[])[], name: CueName, seed: number): number {
  const random = openStream([seed, 'readers', 'robot', name])
  const parts = strata.map((cases) => {
    const ranks = centredRanks(cases.map((one) => one.cues[name]))
    return { ranks, synthetic: cases.filter(({ truth }) => truth === 'synthetic').length }
  })
  const observed = Math.abs(
    strata.reduce(
      (sum, cases, part) =>
        sum +
        cases.reduce((own, { truth }, at) => own + (truth === 'synthetic' ? parts[part]!.ranks[at]! : 0), 0),
      0,
    ),
  )
  let extreme = 0
  for (let round = 0; round < PERMUTATIONS; round++) {
    let sum = 0
    for (const { ranks, synthetic } of parts) {
      // the first places of a partial shuffle
      for (let at = 0; at < synthetic; at++) {
        const other = at + Math.floor(random.uniform() * (ranks.length - at))
        const kept = ranks[at]!
        ranks[at] = ranks[other]!
        ranks[other] = kept
        sum += ranks[at]!
      }
    }
    if (Math.abs(sum) >= observed - 1e-9) extreme++
  }
  return (extreme + 1) / (PERMUTATIONS + 1)
}

/** Return ranks with a mean of 0, divided by their number plus one; equal values share a rank. */
function centredRanks(values: readonly number[]): Float64Array {
  const order = values.map((_, at) => at).sort((a, b) => values[a]! - values[b]!)
  const ranks = new Float64Array(values.length)
  for (let from = 0; from < order.length; ) {
    let to = from
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++
    for (let at = from; at < to; at++)
      ranks[order[at]!] = ((from + to + 1) / 2 - (values.length + 1) / 2) / (values.length + 1)
    from = to
  }
  return ranks
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  if (sorted.length === 0) return 0
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}
