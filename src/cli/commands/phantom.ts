import { resolve } from 'node:path'
import { Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { UsageError } from '../../errors.js'
import { writePhantomDataset } from '../../phantom/dataset.js'
import { DIFFICULTIES, type Difficulty } from '../../phantom/difficulty.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'

interface Options {
  readonly out: string
  readonly cases: number
  readonly hosts: number
  readonly region: (typeof REGIONS)[number]
  readonly size: number
  readonly seed: number
  readonly difficulty: Difficulty
  readonly output: 'text' | 'json'
}

/** `freetumor phantom`: write a data set of synthetic phantoms in the published layout. */
export const addPhantomCommand: AddCommand = (program, io) => {
  withExample(program.command('phantom'), 'freetumor phantom --out data/Phantoms --cases 8 --seed 1')
    .description('Write synthetic phantoms with organs, confounders and tumors as a data set')
    .requiredOption('--out <dir>', 'Set the data-set folder to write')
    .requiredOption('--cases <n>', 'Set the number of cases', wholeNumber(1))
    .option('--hosts <n>', 'Write the last N cases without tumors', wholeNumber(0), 0)
    .addOption(new Option('--region <region>', 'Set the body region').choices(REGIONS).default('abdomen'))
    .option('--size <n>', 'Set the number of voxels per side', wholeNumber(32, 1024), 64)
    .option('--seed <n>', 'Set the seed of all random numbers', wholeNumber(0), 0)
    .addOption(
      new Option(
        '--difficulty <difficulty>',
        'Set the difficulty; hard: small tumors in uneven organs, not separable by a threshold; early: smaller; late: larger',
      )
        .choices(DIFFICULTIES)
        .default('standard'),
    )
    .addOption(outputOption())
    .action(async (options: Options) => {
      if (options.hosts > options.cases)
        throw new UsageError(
          `--hosts: more than the cases (expected at most ${options.cases}, found ${options.hosts})`,
          { hint: 'lower --hosts, or raise --cases' },
        )
      const out = resolve(io.cwd, options.out)
      await writePhantomDataset({
        out,
        cases: options.cases,
        hosts: options.hosts,
        region: options.region,
        sizeVoxels: options.size,
        seed: options.seed,
        difficulty: options.difficulty,
      })
      const { cases, region } = options
      printResult(io, 'phantom', options.output, { out, cases, region }, () => [
        `wrote ${cases} ${region} phantoms to ${out}`,
      ])
    })
}
