/** The command line of the experiments on early tumors: early-tumors and shrunk-tumors. */
import { type EarlyCell, runEarlyCell } from './early-cell.js'
import { writeEarlyPage } from './early-page.js'
import type { EarlyPlan } from './early-plan.js'
import { concludeEarly } from './early-verdict.js'
import { runFrozen } from './frozen-command.js'
import type { Entrant } from './plan.js'
import type { FrozenPlan } from './policy-plan.js'

/** Run the command line of an experiment on early tumors. */
export async function runEarly(name: string, question: string, plan: EarlyPlan): Promise<void> {
  const write = (out: string, frozen: FrozenPlan<EarlyPlan>, cells: readonly EarlyCell[]) =>
    writeEarlyPage(question, out, frozen, cells, concludeEarly(frozen.plan, cells))
  await runFrozen<EarlyPlan, EarlyCell>({
    name,
    question: `${question} Trains all arms on phantoms, at matched false positives.`,
    plan,
    enter: withEntrant,
    runCell: runEarlyCell,
    reportPilot: async (out, frozen, cells) => [await write(out, frozen, cells)],
    writePage: write,
  })
}

/** Return a plan with one arm more, which paints with a synthesizer. */
export function withEntrant(plan: EarlyPlan, entrant: Entrant): EarlyPlan {
  return { ...plan, arms: [...plan.arms, 'entrant'], entrant }
}
