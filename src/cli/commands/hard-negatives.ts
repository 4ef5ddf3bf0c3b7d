import { Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { parseMap } from '../../curation/datasets/remap.js'
import { hardNegativesOfMasks } from '../../pipeline/evaluate/hard-negatives.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { usableProcessors } from '../../usable-processors.js'
import type { Region } from '../../volume/labels.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly predictions: string
  readonly dataset: string
  readonly out: string
  readonly scores?: string
  readonly mostPerCase: number
  readonly region: Region
  readonly mapPredictions?: string
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor hard-negatives`: list false positives in masks of healthy scans, for sampling.hardNegatives. */
export const addHardNegativesCommand: AddCommand = (program, io) => {
  withExample(
    program.command('hard-negatives'),
    'freetumor hard-negatives --predictions host-masks --dataset hosts --out hard-negatives.jsonl',
  )
    .description('List false positives in masks of healthy scans, for sampling.hardNegatives')
    .requiredOption('--predictions <dir>', 'Set the folder of masks of healthy scans')
    .requiredOption('--dataset <name>', 'Set the name of their data set in data.datasets')
    .requiredOption('--out <file>', 'Write the list to this file')
    .option('--scores <dir>', 'Read tumor probabilities here (default: PREDICTIONS/probabilities)')
    .option('--most-per-case <n>', 'List at most N false positives of a scan', wholeNumber(1), 20)
    .addOption(
      new Option('--region <region>', 'Set the region of the label ids').choices(REGIONS).default('abdomen'),
    )
    .option('--map-predictions <map>', 'Map ids of the masks: `region`, a preset, or source:target,...')
    .option(
      '--workers <n>',
      'Measure N cases at a time',
      wholeNumber(1),
      Math.min(2, usableProcessors().processors),
    )
    .addOption(outputOption())
    .action(async ({ mapPredictions, output, ...options }: Options) => {
      const predictionMap =
        mapPredictions === undefined ? undefined : parseMap(mapPredictions, options.region)
      const mined = await withLogFolder(io, torchRuntime(), (context) =>
        hardNegativesOfMasks({ ...options, predictionMap }, context),
      )
      printResult(io, 'hard-negatives', output, mined, () => [
        `${counted(mined.hardNegatives.length, 'false positive')} in ${counted(mined.scans, 'scan')}, ${mined.lesionFree} lesion-free`,
        mined.file,
      ])
    })
}
