import type { Command } from 'commander'
import { createReaderStudy } from '../../pipeline/readers/create.js'
import { counted, quoted } from '../../plain-text.js'
import type { Region } from '../../volume/labels.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { type CliIo, printResult } from '../output.js'
import { mapDescription, outputOption, regionOption, withExample } from '../program.js'

interface Options {
  readonly real: string
  readonly synthetic: string
  readonly out: string
  readonly cases: number
  readonly organs?: string
  readonly seed: number
  readonly repeats?: number
  readonly examples: number
  readonly timeLimit?: number
  readonly cropMm?: number
  readonly spacingMm: number
  readonly groups?: string
  readonly region?: Region
  readonly map?: string
  readonly output: 'text' | 'json'
}

/** `freetumor readers create` */
export function addReadersCreate(readers: Command, io: CliIo): void {
  withExample(
    readers.command('create'),
    'freetumor readers create --real kits --synthetic synthetic --cases 90 --organs kidney --out study',
    'freetumor readers create --real lits --synthetic synthetic --out study --time-limit 60 --seed 7',
  )
    .description('Write a reader study of matched real and synthetic tumors, cropped and stored alike')
    .requiredOption('--real <dir>', 'Read real tumors from this data set')
    .requiredOption('--synthetic <dir>', 'Read synthetic tumors from this data set')
    .requiredOption('--out <dir>', 'Set the folder of the study; it must not exist')
    .option('--cases <n>', 'Set the number of cases, half of them real', wholeNumber(2), 90)
    .option('--organs <names>', 'Select organs: liver,pancreas,kidney or lung (default: all of the region)')
    .option('--seed <n>', 'Set the seed of the selection and of the orders', wholeNumber(0), 0)
    .option('--repeats <n>', 'Show this number of cases twice (default: a tenth)', wholeNumber(0))
    .option('--examples <n>', 'Set the number of training examples with known truth', wholeNumber(0), 4)
    .option('--time-limit <seconds>', 'Set the time for each case (default: no limit)', positiveNumber)
    .option('--crop-mm <mm>', 'Set the side of a crop (default: 128, less for small scans)', positiveNumber)
    .option('--spacing-mm <mm>', 'Set the distance of voxels', positiveNumber, 1)
    .option(
      '--groups <file>',
      'Read the groups of cases from this CSV (name,group), or none (default: data sets)',
    )
    .addOption(regionOption())
    .option('--map <map>', mapDescription())
    .addOption(outputOption())
    .action(async ({ output, timeLimit, organs, ...options }: Options) => {
      const study = await createReaderStudy({
        ...options,
        organs: organs?.split(',').map((name) => name.trim()),
        timeLimitSeconds: timeLimit,
        cwd: io.cwd,
        signal: io.signal,
        onNote: (text, level) => io.note(`${level === 'warning' ? 'warning' : 'note'}: ${text}`),
      })
      printResult(io, 'readers create', output, study, () => [
        `${counted(study.cases, 'case')} of ${study.shape.join(' x ')} voxels of ${study.spacingMm} mm, ${study.repeats} shown twice, ${counted(study.examples, 'example')}`,
        ...study.strata.map(
          ({ organ, size, group, pairs }) => `  ${organ}, ${size}, ${group}: ${counted(pairs, 'pair')}`,
        ),
        `the robot reader found no cue (${study.robot.cues.length} cues, smallest p ${Math.min(...study.robot.cues.map(({ p }) => p)).toPrecision(2)})`,
        `written to ${study.out}; \`freetumor readers serve ${quoted(study.out)} --readers 3\` serves it`,
      ])
    })
}
