import { availableParallelism } from 'node:os'
import { Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { parseMap } from '../../curation/datasets/remap.js'
import { calibrateMasks, type WrittenCalibration } from '../../pipeline/evaluate/calibrate.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import type { Region } from '../../volume/labels.js'
import { wholeNumber } from '../numbers.js'
import { printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly predictions: string
  readonly labels: string
  readonly healthy?: string
  readonly out: string
  readonly region: Region
  readonly mapPredictions?: string
  readonly mapLabels?: string
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor calibrate`: measure a baseline on held-out real tumors, for quality.policy calibrated. */
export const addCalibrateCommand: AddCommand = (program, io) => {
  withExample(
    program.command('calibrate'),
    'freetumor calibrate --predictions masks --labels labelsTr --healthy healthy-masks --out calibration.json',
  )
    .description('Measure a baseline on held-out real tumors, for quality.policy calibrated')
    .requiredOption('--predictions <dir>', 'Set the folder of its masks of held-out cases')
    .requiredOption('--labels <dir>', 'Set the folder or data set of their labels')
    .option('--healthy <dir>', 'Measure false positives on these masks of healthy scans')
    .requiredOption('--out <file>', 'Write the calibration to this file')
    .addOption(
      new Option('--region <region>', 'Set the region of the label ids').choices(REGIONS).default('abdomen'),
    )
    .option('--map-predictions <map>', 'Map ids of the masks: `region`, a preset, or source:target,...')
    .option('--map-labels <map>', 'Map ids of the labels')
    .option('--workers <n>', 'Measure N cases at a time', wholeNumber(1), Math.min(2, availableParallelism()))
    .addOption(outputOption())
    .action(async ({ mapPredictions, mapLabels, output, ...options }: Options) => {
      const parsed = (text: string | undefined) =>
        text === undefined ? undefined : parseMap(text, options.region)
      const maps = { predictionMap: parsed(mapPredictions), labelMap: parsed(mapLabels) }
      const written = await withLogFolder(io, torchRuntime(), (context) =>
        calibrateMasks({ ...options, ...maps }, context),
      )
      printResult(io, 'calibrate', output, written, () => inWords(written))
    })
}

function inWords({ file, realTumors, healthy }: WrittenCalibration): string[] {
  const organs = [...new Set(realTumors.map(({ organ }) => organ))].sort()
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
  return [
    ...organs.map((name) => {
      const shares = realTumors.filter(({ organ }) => organ === name).map(({ shareSeen }) => shareSeen)
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length
      const missed = shares.filter((share) => share === 0).length
      return `${name}: ${counted(shares.length, 'real tumor')}, mean detected fraction ${percent(mean)}, ${missed} missed`
    }),
    ...(healthy === null
      ? []
      : [
          `healthy: ${counted(healthy.scans, 'scan')}, ${percent(healthy.lesionFree.rate)} lesion-free (${healthy.lesionFree.ci.map(percent).join(' to ')}), ${healthy.falsePositivesPerScan.toFixed(2)} false positives per scan`,
        ]),
    file,
  ]
}
