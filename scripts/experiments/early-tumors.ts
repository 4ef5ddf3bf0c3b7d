/**
 * Measure whether synthesis aimed at missed sizes finds more early tumors: scripts/experiments/early-tumors.
 * `freeze` writes the plan, and `run` executes it with the seeds of the commit of that plan.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runMain, Usage, wholeNumbers } from './command-line.js'
import { type EarlyCell, runEarlyCell } from './early-cell.js'
import { writeEarlyPage } from './early-page.js'
import { EARLY_PLAN, type EarlyPlan } from './early-plan.js'
import { concludeEarly } from './early-verdict.js'
import { completeCells, partOf, runCells } from './frozen-cells.js'
import { PILOT_SEEDS, readFrozen } from './policy-plan.js'

const HELP = `Does synthesis aimed at missed sizes find more early tumors? Trains all arms on phantoms, at matched false positives.

  scripts/experiments/early-tumors pilot  --seeds 2      other seeds than the experiment
  scripts/experiments/early-tumors freeze --seeds 6      write the plan; commit it
  scripts/experiments/early-tumors run                   run the committed plan; the same command resumes
  scripts/experiments/early-tumors page                  write the result page of what is there

  --out DIR            folder of all results (default .freetumor/early-tumors, with -pilot for a pilot)
  --plan FILE          the frozen plan (default scripts/experiments/early-tumors.plan.json)
  --seeds N            seeds of the pilot or of the frozen plan
  --part I/N           only every Nth seed, beginning with the Ith, for N processes in one folder
  --validation N,M     held-out cases with and without tumors that fit the operating points
  --test N,M           all held-out cases with and without tumors
  --steps S,G,A        steps of start, generator and arms, of a pilot
`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      plan: { type: 'string', default: 'scripts/experiments/early-tumors.plan.json' },
      seeds: { type: 'string' },
      part: { type: 'string', default: '1/1' },
      validation: { type: 'string' },
      test: { type: 'string' },
      steps: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const [command] = positionals
  if (values.help || command === undefined) return void process.stdout.write(HELP)
  const wanted = planOf(values)
  const part = partOf(values.part)
  switch (command) {
    case 'pilot': {
      if (wanted.numSeeds > PILOT_SEEDS.length)
        throw new Usage(`--seeds: at most ${PILOT_SEEDS.length} in a pilot`)
      const seeds = PILOT_SEEDS.slice(0, wanted.numSeeds)
      const out = resolve(values.out ?? '.freetumor/early-tumors-pilot')
      const cells = await runCells(out, wanted, seeds, part, runEarlyCell)
      const frozen = { plan: wanted, commit: 'none (pilot)', seeds }
      process.stdout.write(`${await writeEarlyPage(out, frozen, cells, concludeEarly(wanted, cells))}\n`)
      return
    }
    case 'freeze':
      if (values.steps !== undefined) throw new Usage('--steps: of a pilot only')
      await writeFile(values.plan, `${JSON.stringify(wanted, null, 2)}\n`)
      process.stdout.write(`${values.plan}\ncommit it: its seeds derive from the commit\n`)
      return
    case 'run':
    case 'page': {
      const frozen = await readFrozen<EarlyPlan>(values.plan).catch((error: Error) => {
        throw new Usage(error.message)
      })
      const out = resolve(values.out ?? '.freetumor/early-tumors')
      if (command === 'run') await runCells(out, frozen.plan, frozen.seeds, part, runEarlyCell)
      const cells = await completeCells<EarlyCell>(out, frozen.plan, frozen.seeds)
      process.stdout.write(`${await writeEarlyPage(out, frozen, cells, concludeEarly(frozen.plan, cells))}\n`)
      return
    }
    default:
      throw new Usage(`${command}: not a command (expected pilot, freeze, run or page)`)
  }
}

function planOf(values: {
  readonly seeds?: string
  readonly validation?: string
  readonly test?: string
  readonly steps?: string
}): EarlyPlan {
  const pair = (flag: 'validation' | 'test'): EarlyPlan['test'] => {
    const text = values[flag]
    if (text === undefined) return EARLY_PLAN[flag]
    const [sick, healthy] = wholeNumbers(flag, text, 2, 1)
    return { sick: sick!, healthy: healthy! }
  }
  const steps = values.steps === undefined ? null : wholeNumbers('steps', values.steps, 3, 1)
  const plan = {
    ...EARLY_PLAN,
    numSeeds:
      values.seeds === undefined ? EARLY_PLAN.numSeeds : wholeNumbers('seeds', values.seeds, 1, 1)[0]!,
    validation: pair('validation'),
    test: pair('test'),
    ...(steps ? { steps: { start: steps[0]!, generator: steps[1]!, arm: steps[2]! } } : {}),
  }
  if (plan.validation.sick >= plan.test.sick || plan.validation.healthy >= plan.test.healthy)
    throw new Usage('--test: too few cases (expected more than --validation of both kinds)')
  return plan
}

await runMain(main)
