import { CommanderError, InvalidArgumentError, Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { parseMap } from '../../curation/datasets/remap.js'
import type { Shard } from '../../curation/datasets/shard.js'
import { EXIT, UsageError } from '../../errors.js'
import { comparisonJsonSchema } from '../../evaluation/compare.js'
import { PROFILES, type ProfileName } from '../../evaluation/profiles.js'
import { summaryJsonSchema } from '../../evaluation/summary.js'
import { evaluateMasks } from '../../pipeline/evaluate/run.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { usableProcessors } from '../../usable-processors.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { evaluationText } from '../evaluation-text.js'
import { labelIds } from '../label-ids.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { shardOf, shardOption } from '../shard-option.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly predictions: string
  readonly labels: string
  readonly profile: ProfileName
  readonly out?: string
  readonly partial?: true
  readonly against?: string
  readonly region: Region
  readonly labelIds?: string
  readonly tumorIds?: string
  readonly map?: string
  readonly mapPredictions?: string
  readonly mapLabels?: string
  readonly nsd?: readonly number[]
  readonly iou?: readonly number[]
  readonly organMasks?: string
  readonly scores?: string
  readonly againstScores?: string
  readonly operatingPoint?: string
  readonly images?: string
  readonly patients?: string
  readonly pictures: number
  readonly seed: number
  readonly workers: number
  readonly shard?: Shard
  readonly output: 'text' | 'json'
}

const SCHEMAS = { summary: summaryJsonSchema, comparison: comparisonJsonSchema } as const

/** `freetumor evaluate`: compare masks with labels. */
export const addEvaluateCommand: AddCommand = (program, io) => {
  const evaluate = withExample(
    program.command('evaluate'),
    'freetumor evaluate --predictions masks --labels labelsTr --profile freetumor --out evaluation',
    'freetumor evaluate --predictions masks --labels labelsTr --profile lesion --nsd 1,2 --against other-masks --out evaluation',
    'freetumor evaluate --predictions masks --labels kits --map-labels KiTS --profile lesion --out evaluation',
  )
    .description('Compare masks with labels of the same names, as a published evaluation')
    .requiredOption('--predictions <dir>', 'Set the folder of masks')
    .requiredOption(
      '--labels <dir>',
      'Set the folder or data set of labels; they cover the same physical space',
    )
    .addOption(
      new Option('--profile <name>', 'Set the rules of the evaluation')
        .choices(Object.keys(PROFILES))
        .makeOptionMandatory(),
    )
    .option('--out <dir>', 'Write summary.json, cases.csv, lesions.csv and report.html here')
    .option('--partial', 'Accept labels without a mask, and name them in the summary')
    .option('--against <dir>', 'Compare with another folder of masks, case by case')
    .addOption(
      new Option('--region <region>', 'Set the region whose label ids are measured')
        .choices(REGIONS)
        .default('abdomen'),
    )
    .option('--label-ids <ids>', 'Measure these labels instead, by id or name: 1,2 or liver,liver-tumor')
    .option('--tumor-ids <ids>', 'Set which of them are tumors (default: those of the region)')
    .option('--map <map>', 'Map ids of masks and labels: `region`, a preset, or source:target,...')
    .option('--map-predictions <map>', 'Map ids of the masks only')
    .option('--map-labels <map>', 'Map ids of the labels only')
    .option(
      '--nsd <mm>',
      'Set the tolerances of the surface Dice in mm, such as 1,2 (default: as the profile)',
      numbers,
    )
    .option(
      '--iou <shares>',
      'Count lesion pairs at these IoU thresholds, such as 0.1,0.5 (default: as the profile)',
      shares,
    )
    .option('--organ-masks <dir>', 'Remove predicted tumors outside these organ masks')
    .option('--scores <dir>', 'Score lesions by these tumor probabilities (default: by volume)')
    .option('--against-scores <dir>', 'Score lesions of --against by these tumor probabilities')
    .option('--operating-point <file>', 'Remove lesions below this operating point first; not from --against')
    .option(
      '--images <dir>',
      'Read scans from this folder for pictures of the report and contrasts of lesions',
    )
    .option(
      '--patients <file>',
      'Resample scans of a patient together; a manifest, or a text with lines case,patient',
    )
    .option('--pictures <n>', 'Show pictures of the N worst cases in the report', wholeNumber(0), 6)
    .option('--seed <n>', 'Set the seed of the confidence intervals', wholeNumber(0), 0)
    .option(
      '--workers <n>',
      'Measure N cases at a time',
      wholeNumber(1),
      Math.min(2, usableProcessors().processors),
    )
    .addOption(
      new Option('--schema <file>', 'Print the JSON schema of a result file and exit').choices(
        Object.keys(SCHEMAS),
      ),
    )
    .addOption(shardOption())
    .addOption(outputOption())
    .action(async (options: Options, command) => {
      const evaluation = await withLogFolder(io, torchRuntime(), (context) =>
        evaluateMasks({ ...options, ...declared(options), ...shardOf(options.shard, command) }, context),
      )
      for (const { caseId, error } of evaluation.failed) {
        io.note(`${paint(io, 'red', 'failed')} ${caseId}: ${error.message}`)
        if (error.hint) io.note(`hint: ${error.hint}`)
      }
      // the ids of --label-ids may be those of another convention
      const names = options.labelIds ? [] : LABEL_SCHEMES[options.region].names
      printResult(io, 'evaluate', options.output, evaluation, () => evaluationText(evaluation, names))
      if (evaluation.failed.length + evaluation.leftOut.length > 0) io.exitWith(EXIT.data)
    })
  // before the check of the options that a real evaluation must have
  evaluate.on('option:schema', (name: keyof typeof SCHEMAS) => {
    io.print(JSON.stringify(SCHEMAS[name](), null, 2))
    throw new CommanderError(EXIT.ok, 'freetumor.schema', '')
  })
}

/** Return the options by the names of the library. */
function declared(options: Options) {
  const {
    labelIds: measured,
    tumorIds,
    nsd,
    iou,
    map,
    mapPredictions,
    mapLabels,
    organMasks,
    region,
  } = options
  const parsed = (text: string | undefined) => (text === undefined ? undefined : parseMap(text, region))
  const ids = (flag: string, text: string | undefined) =>
    text === undefined ? undefined : labelIds(flag, text, region)
  if (map !== undefined && mapPredictions !== undefined && mapLabels !== undefined)
    throw new UsageError('--map: not used, because --map-predictions and --map-labels are given', {
      hint: 'omit one of the three',
    })
  return {
    labelIds: ids('--label-ids', measured),
    tumorIds: ids('--tumor-ids', tumorIds),
    nsdTolerancesMm: nsd,
    lesionIous: iou,
    organs: organMasks,
    predictionMap: parsed(mapPredictions ?? map),
    labelMap: parsed(mapLabels ?? map),
  }
}

function numbers(text: string): number[] {
  return distinct(text.split(',').map(positiveNumber))
}

function shares(text: string): number[] {
  const all = numbers(text)
  if (all.some((share) => share > 1)) throw new InvalidArgumentError('numbers above 0 and at most 1')
  return all
}

function distinct(values: number[]): number[] {
  if (new Set(values).size < values.length) throw new InvalidArgumentError('distinct numbers')
  return values
}
