import type { FoldPlan } from '../../curation/split/run.js'
import { STRATA, type Stratum } from '../../curation/split/strata.js'
import { EXIT } from '../../errors.js'
import { splitData } from '../../pipeline/data/split.js'
import { counted } from '../../plain-text.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { addSourceOptions, type SourceFlags, sourceOptions } from '../source-options.js'

interface SplitFlags extends SourceFlags {
  readonly folds: number
  readonly seed: number
  readonly out?: string
  readonly even?: true
  readonly keep?: string
  readonly ignorePublished?: true
  readonly output: 'text' | 'json'
}

/** `freetumor data split` */
export const addDataSplit: AddCommand = (data, io) => {
  const command = withExample(
    data.command('split'),
    'freetumor data split manifest.json --folds 5 --seed 0 --out split.json',
    'freetumor data split grown.json --folds 5 --seed 0 --even --keep split.json --out split.json',
  )
    .description('Assign every patient to a fold; new patients do not move the others')
    .argument('<path...>', 'manifests, data sets of any layout, or configurations')
  addSourceOptions(command)
    .requiredOption('--folds <n>', 'Set the number of folds', wholeNumber(2))
    .option('--seed <n>', 'Set the seed of the folds', wholeNumber(0), 0)
    .option('--out <file>', 'Write a manifest with folds here (default: print the table only)')
    .option('--even', 'Balance new patients by data set, tumor presence and tumor size')
    .option('--keep <file>', 'Keep patients in the folds of this earlier split')
    .option('--ignore-published', 'Ignore the folds and validation cases of published lists')
    .addOption(outputOption())
    .action(async (paths: string[], flags: SplitFlags) => {
      const plan = await splitData(paths, {
        ...sourceOptions(io, flags),
        folds: flags.folds,
        seed: flags.seed,
        out: flags.out,
        even: flags.even,
        keep: flags.keep,
        ignorePublished: flags.ignorePublished,
        signal: io.signal,
        onCase: (done, total) => {
          if (done % 100 === 0 || done === total) io.note(`${done}/${total} labels`)
        },
      })
      const { patients, table, warnings } = plan
      const out = flags.out ?? null
      printResult(
        io,
        'data split',
        flags.output,
        { out, folds: flags.folds, table, patients, warnings },
        () => [
          ...describe(plan),
          out === null ? 'nothing was written: --out FILE writes the manifest' : `written to ${out}`,
        ],
      )
      if (!plan.complete) io.exitWith(EXIT.data)
    })
}

function describe({ table, patients }: FoldPlan): string[] {
  const present = STRATA.filter((stratum) => table.some(({ strata }) => strata[stratum]))
  const line = (cells: readonly (string | number)[]): string =>
    cells.map((cell, at) => (at === 0 ? String(cell).padEnd(30) : String(cell).padStart(11))).join(' ')
  const counts = (strata: Readonly<Partial<Record<Stratum, number>>>) =>
    present.map((name) => strata[name] ?? 0)
  const given = patients.filter(({ by }) => by === 'kept' || by === 'published').length
  return [
    line(['patients', 'fold', 'all', ...present, 'cases']),
    ...table.map((row) => line([row.dataset, row.fold, row.patients, ...counts(row.strata), row.cases])),
    `${counted(patients.length, 'patient')}, ${given} of them in earlier or published folds`,
  ]
}
