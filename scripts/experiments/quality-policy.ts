/**
 * Compare quality policies at matched false positives: scripts/experiments/quality-policy. A pilot measures the variances,
 * `freeze` writes the plan of a size that they ask for, and `run` executes it with the seeds of the commit of that plan.
 */
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runMain, Usage, wholeNumbers } from './command-line.js'
import { completeCells, partOf, runCells } from './frozen-cells.js'
import { type PolicyCell, runPolicyCell } from './policy-cell.js'
import { writePolicyPage } from './policy-page.js'
import { PILOT_SEEDS, POLICY_PLAN, type PolicyPlan, readFrozen } from './policy-plan.js'
import { powerOf, varianceComponents } from './policy-power.js'
import { concludePolicy, differencesOf } from './policy-verdict.js'

const HELP = `Does a calibrated quality policy cost Dice? Trains all arms on phantoms, at matched false positives.

  scripts/experiments/quality-policy pilot  --seeds 2      variances and power, with other seeds than the experiment
  scripts/experiments/quality-policy freeze --seeds 10     write the plan; commit it
  scripts/experiments/quality-policy run                   run the committed plan; the same command resumes
  scripts/experiments/quality-policy page                  write the result page of what is there

  --out DIR            folder of all results (default .freetumor/quality-policy, with -pilot for a pilot)
  --plan FILE          the frozen plan (default scripts/experiments/quality-policy.plan.json)
  --seeds N            seeds of the pilot or of the frozen plan
  --part I/N           only every Nth seed, beginning with the Ith, for N processes in one folder
  --labelled N,M,...   other numbers of labelled cases, for a pilot
  --test N,M           held-out cases with and without tumors, of a pilot or a frozen plan
`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      plan: { type: 'string', default: 'scripts/experiments/quality-policy.plan.json' },
      seeds: { type: 'string' },
      part: { type: 'string', default: '1/1' },
      labelled: { type: 'string' },
      test: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const [command] = positionals
  if (values.help || command === undefined) return void process.stdout.write(HELP)
  const seeds = values.seeds === undefined ? undefined : wholeNumbers('seeds', values.seeds, 1, 1)[0]!
  const test = values.test === undefined ? undefined : wholeNumbers('test', values.test, 2, 1)
  const wanted: PolicyPlan = {
    ...POLICY_PLAN,
    numSeeds: seeds ?? POLICY_PLAN.numSeeds,
    ...(test ? { test: { sick: test[0]!, healthy: test[1]! } } : {}),
  }
  const part = partOf(values.part)
  switch (command) {
    case 'pilot': {
      const labelled =
        values.labelled === undefined
          ? wanted.labelled
          : wholeNumbers('labelled', values.labelled, undefined, 1)
      const plan: PolicyPlan = { ...wanted, labelled, arms: ['trainedUnjudged', 'calibrated'] }
      if (plan.numSeeds > PILOT_SEEDS.length)
        throw new Usage(`--seeds: at most ${PILOT_SEEDS.length} in a pilot`)
      const out = resolve(values.out ?? '.freetumor/quality-policy-pilot')
      const cells = await runCells(out, plan, PILOT_SEEDS.slice(0, plan.numSeeds), part, runPolicyCell)
      process.stdout.write(`${await writePower(out, plan, cells)}\n`)
      return
    }
    case 'freeze':
      await writeFile(values.plan, `${JSON.stringify(wanted, null, 2)}\n`)
      process.stdout.write(`${values.plan}\ncommit it: its seeds derive from the commit\n`)
      return
    case 'run':
    case 'page': {
      const frozen = await readFrozen(values.plan).catch((error: Error) => {
        throw new Usage(error.message)
      })
      const out = resolve(values.out ?? '.freetumor/quality-policy')
      if (command === 'run') await runCells(out, frozen.plan, frozen.seeds, part, runPolicyCell)
      const cells = await completeCells<PolicyCell>(out, frozen.plan, frozen.seeds)
      process.stdout.write(
        `${await writePolicyPage(out, frozen, cells, concludePolicy(frozen.plan, cells))}\n`,
      )
      return
    }
    default:
      throw new Usage(`${command}: not a command (expected pilot, freeze, run or page)`)
  }
}

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

await runMain(main)
