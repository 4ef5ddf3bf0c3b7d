import { availableParallelism } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { parseMap } from '../../curation/datasets/remap.js'
import { UsageError } from '../../errors.js'
import type { RuleFigures } from '../../evaluation/operating-point.js'
import { calibrateMasks, type WrittenCalibration } from '../../pipeline/evaluate/calibrate.js'
import {
  calibrateOperatingPoint,
  type WrittenOperatingPoint,
} from '../../pipeline/evaluate/operating-point.js'
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
  readonly rate?: number
  readonly sensitivityLoss?: number
  readonly scores?: string
  readonly healthyScores?: string
  readonly out: string
  readonly region: Region
  readonly mapPredictions?: string
  readonly mapLabels?: string
  readonly workers: number
  readonly output: 'text' | 'json'
}

/**
 * `freetumor calibrate`: measure a segmentor on held-out real tumors, for quality.policy calibrated; or fit an operating point
 * for its predictions.
 */
export const addCalibrateCommand: AddCommand = (program, io) => {
  withExample(
    program.command('calibrate'),
    'freetumor calibrate --predictions masks --labels labelsTr --healthy healthy-masks --out calibration.json',
    'freetumor calibrate --predictions masks --labels labelsTr --healthy healthy-masks --rate 0.9 --out point.json',
  )
    .description('Measure a segmentor on held-out tumors: for quality control, or an operating point')
    .requiredOption('--predictions <dir>', 'Set the folder of its masks of held-out cases')
    .requiredOption('--labels <dir>', 'Set the folder or data set of their labels')
    .option('--healthy <dir>', 'Measure false positives on these masks of healthy scans')
    .option('--rate <share>', 'Fit an operating point: make this share of healthy scans lesion-free', share)
    .option(
      '--sensitivity-loss <share>',
      'Fit an operating point: lose this share of the lesions at most',
      share,
    )
    .option('--scores <dir>', 'Read tumor probabilities here (default: PREDICTIONS/probabilities)')
    .option(
      '--healthy-scores <dir>',
      'Read the probabilities of healthy scans from here (default: HEALTHY/probabilities)',
    )
    .requiredOption('--out <file>', 'Write the calibration or operating point to this file')
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
      const all = { ...options, ...maps }
      if (options.rate === undefined && options.sensitivityLoss === undefined) {
        refuseScores(options)
        const written = await withLogFolder(io, torchRuntime(), (context) => calibrateMasks(all, context))
        printResult(io, 'calibrate', output, written, () => inWords(written))
        return
      }
      const point = await withLogFolder(io, torchRuntime(), (context) =>
        calibrateOperatingPoint(all, context),
      )
      printResult(io, 'calibrate', output, point, () => pointInWords(point))
    })
}

/** @throws UsageError for options that only an operating point has */
function refuseScores({ scores, healthyScores }: Pick<Options, 'scores' | 'healthyScores'>): void {
  const flag = scores !== undefined ? '--scores' : healthyScores !== undefined ? '--healthy-scores' : null
  if (flag !== null)
    throw new UsageError(`${flag}: not used (expected --rate or --sensitivity-loss too)`, {
      hint: 'pass --rate 0.9 to fit an operating point, or omit it',
    })
}

function share(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError('a number from 0 to 1')
  return value
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`

function pointInWords({
  before,
  after,
  atLoss,
  chosen,
  candidates,
  rule,
  curve,
  file,
  note,
}: WrittenOperatingPoint): string[] {
  const figures = ({ lesionFree, sensitivity, falsePositivesPerScan }: RuleFigures): string =>
    `${percent(lesionFree.rate)} lesion-free (${lesionFree.ci.map(percent).join(' to ')}), sensitivity ${percent(sensitivity.rate)} (${sensitivity.ci.map(percent).join(' to ')}), ${falsePositivesPerScan.toFixed(2)} false positives per scan`
  const held = (one: RuleFigures | null): string => (one === null ? 'too few cases' : figures(one))
  const others = candidates.filter(({ name }) => name !== chosen).map(({ name }) => name)
  const threshold =
    rule.threshold === null ? 'all lesions kept' : `threshold ${rule.threshold.toPrecision(6)}`
  return [
    `cases: ${counted(before.lesionFree.of, 'healthy scan')}, ${counted(before.sensitivity.of, 'lesion')}`,
    `rule: ${chosen}, ${threshold}${others.length > 0 ? ` (compared with ${others.join(', ')})` : ''}`,
    `all lesions:     ${figures(before)}`,
    `in sample:       ${figures(after.inSample)}`,
    `cross-validated: ${held(after.crossValidated)}`,
    ...atLoss.flatMap(({ sensitivityLoss, inSample, crossValidated }) => [
      `loss of ${(100 * sensitivityLoss).toFixed(0)} points, in sample:       ${figures(inSample)}`,
      `loss of ${(100 * sensitivityLoss).toFixed(0)} points, cross-validated: ${held(crossValidated)}`,
    ]),
    `${counted(curve.length, 'point')} of the curve in the file`,
    note,
    file,
  ]
}

function inWords({ file, realTumors, healthy }: WrittenCalibration): string[] {
  const organs = [...new Set(realTumors.map(({ organ }) => organ))].sort()
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
