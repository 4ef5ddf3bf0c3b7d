/** Compare quality policies at matched false positives: scripts/experiments/quality-policy. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runFrozen } from './frozen-command.js'
import { type PolicyCell, runPolicyCell } from './policy-cell.js'
import { writePolicyPage } from './policy-page.js'
import { POLICY_PLAN, type PolicyPlan } from './policy-plan.js'
import { powerOf, varianceComponents } from './policy-power.js'
import { concludePolicy, differencesOf } from './policy-verdict.js'

await runFrozen<PolicyPlan, PolicyCell>({
  name: 'quality-policy',
  question:
    'Does a calibrated quality policy cost Dice? Trains all arms on phantoms, at matched false positives.',
  plan: POLICY_PLAN,
  // those of the primary question
  pilotArms: ['trainedUnjudged', 'calibrated'],
  runCell: runPolicyCell,
  reportPilot: async (out, { plan }, cells) => [await writePower(out, plan, cells)],
  writePage: (out, frozen, cells) => writePolicyPage(out, frozen, cells, concludePolicy(frozen.plan, cells)),
})

/** Write the variance components of a pilot, and the power of experiments of several sizes. */
async function writePower(out: string, plan: PolicyPlan, cells: readonly PolicyCell[]): Promise<string> {
  const components = varianceComponents(differencesOf(plan, cells, 'calibrated', 'trainedUnjudged'))
  const trainings = POLICY_PLAN.labelled.length
  const rows = [4, 6, 8, 10, 15, 20, 30].flatMap((seeds) =>
    [24, 48, 100].map((cases) => powerOf(components, { seeds, cases, trainings, margin: plan.margin })),
  )
  const cpuSeconds = cells.flatMap((cell) => Object.values(cell.cpuSeconds)).reduce((sum, s) => sum + s, 0)
  const figures = cells.map(({ seed, labelled, arms, tumors, cpuSeconds: seconds }) => ({
    seed,
    labelled,
    dice: Object.fromEntries(Object.entries(arms).map(([arm, { test }]) => [arm, test])),
    tumors,
    seconds,
  }))
  const file = join(out, 'power.json')
  await writeFile(
    file,
    `${JSON.stringify({ plan, cpuSeconds, components, rows, cells: figures }, null, 2)}\n`,
  )
  return file
}
