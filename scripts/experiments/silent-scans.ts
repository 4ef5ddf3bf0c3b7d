/**
 * Measure how many healthy scans stay free of predicted lesions, with and without hard negatives: scripts/experiments/silent-scans.
 * `freeze` writes the plan, and `run` executes it with the seeds of the commit of that plan.
 */
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runMain, Usage, wholeNumbers } from './command-line.js'
import { completeCells, partOf, runCells } from './frozen-cells.js'
import { PILOT_SEEDS, readFrozen } from './policy-plan.js'
import { runSilentCell, type SilentCell } from './silent-cell.js'
import { writeSilentPage } from './silent-page.js'
import { SILENT_PLAN, type SilentPlan } from './silent-plan.js'
import { writeSilentPower } from './silent-power.js'
import { concludeSilent } from './silent-verdict.js'

const HELP = `Do hard negatives silence healthy scans? Trains all arms on phantoms, and fits an operating point to each.

  scripts/experiments/silent-scans pilot  --seeds 2      other seeds than the experiment; write the power
  scripts/experiments/silent-scans freeze --seeds 8      write the plan; commit it
  scripts/experiments/silent-scans run                   run the committed plan; the same command resumes
  scripts/experiments/silent-scans page                  write the result page of what is there

  --out DIR            folder of all results (default .freetumor/silent-scans, with -pilot for a pilot)
  --plan FILE          the frozen plan (default scripts/experiments/silent-scans.plan.json)
  --seeds N            seeds of the pilot or of the frozen plan
  --part I/N           only every Nth seed, beginning with the Ith, for N processes in one folder
  --validation N,M     held-out cases with and without tumors that fit the operating points
  --test N,M           all held-out cases with and without tumors
  --steps S,A          steps of start and arms, of a pilot
`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      plan: { type: 'string', default: 'scripts/experiments/silent-scans.plan.json' },
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
      const out = resolve(values.out ?? '.freetumor/silent-scans-pilot')
      const cells = await runCells(out, wanted, seeds, part, runSilentCell)
      const frozen = { plan: wanted, commit: 'none (pilot)', seeds }
      if (cells.length > 0) process.stdout.write(`${await writeSilentPower(out, wanted, cells)}\n`)
      process.stdout.write(`${await writeSilentPage(out, frozen, cells, concludeSilent(wanted, cells))}\n`)
      return
    }
    case 'freeze':
      if (values.steps !== undefined) throw new Usage('--steps: of a pilot only')
      await writeFile(values.plan, `${JSON.stringify(wanted, null, 2)}\n`)
      process.stdout.write(`${values.plan}\ncommit it: its seeds derive from the commit\n`)
      return
    case 'run':
    case 'page': {
      const frozen = await readFrozen<SilentPlan>(values.plan).catch((error: Error) => {
        throw new Usage(error.message)
      })
      const out = resolve(values.out ?? '.freetumor/silent-scans')
      if (command === 'run') await runCells(out, frozen.plan, frozen.seeds, part, runSilentCell)
      const cells = await completeCells<SilentCell>(out, frozen.plan, frozen.seeds)
      process.stdout.write(
        `${await writeSilentPage(out, frozen, cells, concludeSilent(frozen.plan, cells))}\n`,
      )
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
}): SilentPlan {
  const pair = (flag: 'validation' | 'test'): SilentPlan['test'] => {
    const text = values[flag]
    if (text === undefined) return SILENT_PLAN[flag]
    const [sick, healthy] = wholeNumbers(flag, text, 2, 1)
    return { sick: sick!, healthy: healthy! }
  }
  const steps = values.steps === undefined ? null : wholeNumbers('steps', values.steps, 2, 1)
  const plan = {
    ...SILENT_PLAN,
    numSeeds:
      values.seeds === undefined ? SILENT_PLAN.numSeeds : wholeNumbers('seeds', values.seeds, 1, 1)[0]!,
    validation: pair('validation'),
    test: pair('test'),
    ...(steps ? { steps: { start: steps[0]!, generator: 0, arm: steps[1]! } } : {}),
  }
  if (plan.validation.sick >= plan.test.sick || plan.validation.healthy >= plan.test.healthy)
    throw new Usage('--test: too few cases (expected more than --validation of both kinds)')
  return plan
}

await runMain(main)
