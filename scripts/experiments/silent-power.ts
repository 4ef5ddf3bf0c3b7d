import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Components,
  type Differences,
  type PowerRow,
  powerOf,
  varianceComponents,
} from './policy-power.js'
import type { SilentCell } from './silent-cell.js'
import type { SilentPlan } from './silent-plan.js'

/** Power to show that hard negatives leave more scans lesion-free, if they do so by `gain` on average. */
export interface SilentPower {
  readonly components: Components
  readonly rows: readonly (PowerRow & { readonly gain: number })[]
}

const GAINS = [0.05, 0.1, 0.2]
const SEEDS = [4, 6, 8, 15]
const CASES = [26, 100]

/**
 * Estimate the variance components of the difference at the primary loss, by seed and healthy test case, and the power of
 * experiments of several sizes. The uncertainty of the threshold is part of the seeds.
 */
export function silentPower(plan: SilentPlan, cells: readonly SilentCell[]): SilentPower {
  const components = varianceComponents(differencesOf(plan, cells))
  const trainings = plan.labelled.length
  const rows = GAINS.flatMap((gain) =>
    SEEDS.flatMap((seeds) =>
      // a gain whose lower bound lies above 0 is a difference of 0 whose lower bound lies above -gain
      CASES.map((cases) => ({ ...powerOf(components, { seeds, cases, trainings, margin: gain }), gain })),
    ),
  )
  return { components, rows }
}

/** Write `power.json` of a pilot; return its path. */
export async function writeSilentPower(
  out: string,
  plan: SilentPlan,
  cells: readonly SilentCell[],
): Promise<string> {
  const file = join(out, 'power.json')
  await writeFile(file, `${JSON.stringify({ plan, ...silentPower(plan, cells) }, null, 2)}\n`)
  return file
}

/** Return 1, 0 or -1 for each healthy test case: lesion-free with hard negatives less without. */
function differencesOf(plan: SilentPlan, cells: readonly SilentCell[]): Differences {
  const seeds = [...new Set(cells.map(({ seed }) => seed))]
  return seeds.map((seed) =>
    plan.labelled.map((labelled) => {
      const { arms } = cells.find((cell) => cell.seed === seed && cell.labelled === labelled)!
      const without = arms.easyNegatives!.lesionFreeCases
      return arms.hardNegatives!.lesionFreeCases.map((free, at) => Number(free) - Number(without[at]))
    }),
  )
}
