/** The command line of an experiment with a frozen plan: `pilot`, `freeze`, `run` and `page`. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { resolveSections } from '../../dist/config/resolve-sections.js'
import { cannotBeRead } from '../../dist/system-errors.js'
import { runMain, Usage, wholeNumbers } from './command-line.js'
import { completeCells, partOf, type RunCell, runCells } from './frozen-cells.js'
import type { Entrant } from './plan.js'
import { type FrozenPlan, PILOT_SEEDS, type PolicyPlan, readFrozen } from './policy-plan.js'

type AnyPlan = Pick<PolicyPlan, 'numSeeds' | 'labelled' | 'arms' | 'validation' | 'test' | 'steps'>

export interface FrozenExperiment<P extends AnyPlan, C> {
  /** Name of its script, its plan and its folders. */
  readonly name: string
  /** First line of the help: what it asks, and what it trains. */
  readonly question: string
  /** Plan that `freeze` writes, unless options change it. */
  readonly plan: P
  /** Arms of a pilot. Default: all arms. */
  readonly pilotArms?: P['arms']
  /** Add an arm that paints with a synthesizer. Default: the experiment takes none. */
  readonly enter?: (plan: P, entrant: Entrant) => P
  readonly runCell: RunCell<P, C>
  /** Write what a pilot shows; returns the paths of the files. */
  readonly reportPilot: (out: string, frozen: FrozenPlan<P>, cells: readonly C[]) => Promise<string[]>
  /** Write the result page; returns its path. */
  readonly writePage: (out: string, frozen: FrozenPlan<P>, cells: readonly C[]) => Promise<string>
}

const OPTIONS = {
  out: { type: 'string' },
  plan: { type: 'string' },
  seeds: { type: 'string' },
  part: { type: 'string', default: '1/1' },
  labelled: { type: 'string' },
  validation: { type: 'string' },
  test: { type: 'string' },
  steps: { type: 'string' },
  entrant: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const
type Values = { readonly [K in 'seeds' | 'labelled' | 'validation' | 'test' | 'steps']?: string | undefined }

const ENTRANT_HELP = `  --entrant FILE       JSON of a section networks.generator (checkpoint or plug-in): one arm more, for a pilot or a plan
`

/** Options that change the trainings: a frozen plan has those of its experiment. */
const OF_PILOT = ['labelled', 'steps'] as const

/** Run the command line of an experiment. */
export async function runFrozen<P extends AnyPlan, C>(experiment: FrozenExperiment<P, C>): Promise<void> {
  await runMain(() => main(experiment))
}

async function main<P extends AnyPlan, C>(experiment: FrozenExperiment<P, C>): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS })
  const [command] = positionals
  if (values.help || command === undefined) return void process.stdout.write(helpOf(experiment))
  const planFile = values.plan ?? `scripts/experiments/${experiment.name}.plan.json`
  const folder = `.freetumor/${experiment.name}`
  const part = partOf(values.part)
  const print = (lines: readonly string[]): void => void process.stdout.write(`${lines.join('\n')}\n`)
  switch (command) {
    case 'pilot': {
      const arms = experiment.pilotArms ?? experiment.plan.arms
      const plan = await entered({ ...planOf(experiment.plan, values), arms }, values.entrant, experiment)
      if (plan.numSeeds > PILOT_SEEDS.length)
        throw new Usage(`--seeds: at most ${PILOT_SEEDS.length} in a pilot`)
      const seeds = PILOT_SEEDS.slice(0, plan.numSeeds)
      const out = resolve(values.out ?? `${folder}-pilot`)
      const cells = await runCells(out, plan, seeds, part, experiment.runCell)
      return print(await experiment.reportPilot(out, { plan, commit: 'none (pilot)', seeds }, cells))
    }
    case 'freeze': {
      for (const flag of OF_PILOT)
        if (values[flag] !== undefined) throw new Usage(`--${flag}: of a pilot only`)
      const plan = await entered(planOf(experiment.plan, values), values.entrant, experiment)
      await writeFile(planFile, `${JSON.stringify(plan, null, 2)}\n`).catch((error: Error) => {
        throw new Usage(`--plan: ${error.message}`)
      })
      return print([planFile, 'commit it: its seeds derive from the commit'])
    }
    case 'run':
    case 'page': {
      const frozen = await readFrozen<P>(planFile).catch((error: Error) => {
        throw new Usage(error.message)
      })
      refusePlanOfAnother(frozen.plan, experiment, planFile)
      const out = resolve(values.out ?? folder)
      if (command === 'run') await runCells(out, frozen.plan, frozen.seeds, part, experiment.runCell)
      const cells = await completeCells<C>(out, frozen.plan, frozen.seeds)
      return print([await experiment.writePage(out, frozen, cells)])
    }
    default:
      throw new Usage(`${command}: not a command (expected pilot, freeze, run or page)`)
  }
}

/** Add the synthesizer of a file to a plan: the section `networks.generator` of a configuration, as JSON. @throws Usage */
async function entered<P extends AnyPlan, C>(
  plan: P,
  file: string | undefined,
  { name, enter }: FrozenExperiment<P, C>,
): Promise<P> {
  if (file === undefined) return plan
  if (enter === undefined) throw new Usage(`--entrant: ${name} takes no synthesizer`)
  return enter(plan, await readEntrant(file))
}

/** Return the section `networks.generator` of a JSON file. @throws Usage */
export async function readEntrant(file: string): Promise<Entrant> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Usage(`--entrant: ${cannotBeRead(file, error.code)}`)
  })
  try {
    const section = JSON.parse(text)
    resolveSections(['networks'], {
      job: 'segmentation',
      region: 'abdomen',
      networks: { generator: section },
    })
    checkEntrant(section)
    return section
  } catch (error) {
    throw new Usage(`${file}: ${(error as Error).message}`)
  }
}

/** Refuse a section without weights or program, before any training starts. */
function checkEntrant(section: Entrant | null): void {
  const checkpoint = section?.checkpoint ?? null
  if ((checkpoint === null) === ((section?.plugin ?? null) === null))
    throw new Usage(
      'no synthesizer (expected {"checkpoint": FILE} or {"plugin": {"python": PROGRAM, "command": [...]}})',
    )
  if (typeof checkpoint === 'string' && !existsSync(checkpoint))
    throw new Usage(`${checkpoint}: file not found`)
}

/** Refuse the frozen plan of another experiment: its arms answer another question. @throws Usage */
export function refusePlanOfAnother(
  found: Pick<AnyPlan, 'arms'>,
  { name, plan }: { readonly name: string; readonly plan: Pick<AnyPlan, 'arms'> },
  file: string,
): void {
  const arms = found.arms.filter((arm) => arm !== 'entrant').join(', ')
  const own = plan.arms.join(', ')
  if (arms !== own)
    throw new Usage(`--plan: ${file}: not a plan of ${name} (expected the arms ${own}, found ${arms})`)
}

function planOf<P extends AnyPlan>(plan: P, values: Values): P {
  const numbers = (flag: keyof Values, count?: number): number[] | null => {
    const text = values[flag]
    return text === undefined ? null : wholeNumbers(flag, text, count, 1)
  }
  const cases = (flag: 'validation' | 'test'): AnyPlan['test'] => {
    const found = numbers(flag, 2)
    return found ? { sick: found[0]!, healthy: found[1]! } : plan[flag]
  }
  // an experiment without a generator has no steps of it
  const hasGenerator = plan.steps.generator > 0
  const steps = numbers('steps', hasGenerator ? 3 : 2)
  const changed = {
    ...plan,
    numSeeds: numbers('seeds', 1)?.[0] ?? plan.numSeeds,
    labelled: numbers('labelled') ?? plan.labelled,
    validation: cases('validation'),
    test: cases('test'),
    steps: steps
      ? { start: steps[0]!, generator: hasGenerator ? steps[1]! : 0, arm: steps.at(-1)! }
      : plan.steps,
  }
  if (changed.validation.sick >= changed.test.sick || changed.validation.healthy >= changed.test.healthy)
    throw new Usage('--test: too few cases (expected more than --validation of both kinds)')
  return changed
}

function helpOf<P extends AnyPlan, C>({ name, question, plan, enter }: FrozenExperiment<P, C>): string {
  const command = `scripts/experiments/${name}`
  const steps =
    plan.steps.generator > 0
      ? 'S,G,A        steps of start, generator and arms'
      : 'S,A          steps of start and arms'
  return `${question}

  ${command} pilot --seeds 2     other seeds than the experiment
  ${command} freeze --seeds ${`${plan.numSeeds}`.padEnd(4)} write the plan; commit it
  ${command} run                 run the committed plan; the same command resumes
  ${command} page                write the result page of what is there

  --out DIR            folder of all results (default .freetumor/${name}, with -pilot for a pilot)
  --plan FILE          the frozen plan (default scripts/experiments/${name}.plan.json)
  --seeds N            number of seeds of the pilot or of the frozen plan
  --part I/N           only every Nth seed, beginning with the Ith, for N processes in one folder
  --validation N,M     held-out cases with and without tumors that fit the operating points
  --test N,M           all held-out cases with and without tumors
  --labelled N,M,...   other numbers of labelled cases, for a pilot
  --steps ${steps}, for a pilot
${enter === undefined ? '' : ENTRANT_HELP}`
}
