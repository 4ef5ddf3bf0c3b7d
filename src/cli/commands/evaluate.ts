import { availableParallelism } from 'node:os'
import { CommanderError, InvalidArgumentError, Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { parseMap } from '../../curation/datasets/remap.js'
import { EXIT, UsageError } from '../../errors.js'
import { comparisonJsonSchema } from '../../evaluation/compare.js'
import { PROFILES, type ProfileName } from '../../evaluation/profiles.js'
import { summaryJsonSchema } from '../../evaluation/summary.js'
import { evaluateMasks } from '../../pipeline/evaluate/run.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { LABEL_SCHEMES, type Region } from '../../volume/labels.js'
import { evaluationText } from '../evaluation-text.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly predictions: string
  readonly labels: string
  readonly profile: ProfileName
  readonly out?: string
  readonly partial?: true
  readonly against?: string
  readonly region: Region
  readonly labelsIds?: readonly number[]
  readonly tumorIds?: readonly number[]
  readonly map?: string
  readonly mapPredictions?: string
  readonly mapLabels?: string
  readonly nsd?: readonly number[]
  readonly iou?: readonly number[]
  readonly organMasks?: string
  readonly scores?: string
  readonly againstScores?: string
  readonly images?: string
  readonly patients?: string
  readonly pictures: number
  readonly seed: number
  readonly workers: number
  readonly output: 'text' | 'json'
}

const SCHEMAS = { summary: summaryJsonSchema, comparison: comparisonJsonSchema } as const

/** `freetumor evaluate`: figures of masks against labels. */
export const addEvaluateCommand: AddCommand = (program, io) => {
  const command = withExample(
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
    .option('--labels-ids <ids>', 'Measure these label ids instead, as 1,2,...', labelIds)
    .option('--tumor-ids <ids>', 'Set the ids that are tumors, if the region does not define them', labelIds)
    .option('--map <map>', 'Map ids of masks and labels: a preset or source:target,...')
    .option('--map-predictions <map>', 'Map ids of the masks alone')
    .option('--map-labels <map>', 'Map ids of the labels alone')
    .option(
      '--nsd <mm>',
      'Set the tolerances of the surface Dice, as 1,2 (default: those of the profile)',
      numbers,
    )
    .option('--iou <shares>', 'Count pairs of lesions at these IoU, too, as 0.1,0.5', shares)
    .option('--organ-masks <dir>', 'Remove predicted tumors outside these organ masks')
    .option('--scores <dir>', 'Score lesions by these tumor probabilities (default: by volume)')
    .option('--against-scores <dir>', 'Score lesions of --against by these tumor probabilities')
    .option('--images <dir>', 'Read scans for the pictures of the report')
    .option('--patients <file>', 'Resample scans of a patient together: a manifest, or lines case,patient')
    .option('--pictures <n>', 'Show pictures of the N worst cases in the report', wholeNumber(0), 6)
    .option('--seed <n>', 'Set the seed of the confidence intervals', wholeNumber(0), 0)
    .option('--workers <n>', 'Measure N cases at a time', wholeNumber(1), Math.min(2, availableParallelism()))
    .addOption(
      new Option('--schema <file>', 'Print the JSON schema of a result file and exit').choices(
        Object.keys(SCHEMAS),
      ),
    )
    .addOption(outputOption())
    .action(async (options: Options) => {
      const evaluation = await withLogFolder(io, torchRuntime(), (context) =>
        evaluateMasks({ ...options, ...declared(options) }, context),
      )
      for (const { caseId, error } of evaluation.failed) {
        io.note(`${paint(io, 'red', 'failed')} ${caseId}: ${error.message}`)
        if (error.hint) io.note(`hint: ${error.hint}`)
      }
      // ids of one's own have no names here
      const names = options.labelsIds ? [] : LABEL_SCHEMES[options.region].names
      printResult(io, 'evaluate', options.output, evaluation, () => evaluationText(evaluation, names))
      if (evaluation.failed.length + evaluation.leftOut.length > 0) io.exitWith(EXIT.data)
    })
  // before the check of the options that a real evaluation must have
  command.on('option:schema', (name: keyof typeof SCHEMAS) => {
    io.print(JSON.stringify(SCHEMAS[name](), null, 2))
    throw new CommanderError(EXIT.ok, 'freetumor.schema', '')
  })
}

/** The options under the names of the library. */
function declared(options: Options) {
  const { labelsIds, nsd, iou, map, mapPredictions, mapLabels, organMasks, region } = options
  const parsed = (text: string | undefined) => (text === undefined ? undefined : parseMap(text, region))
  if (map !== undefined && mapPredictions !== undefined && mapLabels !== undefined)
    throw new UsageError('--map says nothing beside --map-predictions and --map-labels', {
      hint: 'leave one of the three out',
    })
  return {
    labelIds: labelsIds,
    nsdTolerancesMm: nsd,
    lesionIous: iou,
    organs: organMasks,
    predictionMap: parsed(mapPredictions ?? map),
    labelMap: parsed(mapLabels ?? map),
  }
}

function labelIds(text: string): number[] {
  const ids = text.split(',').map((part) => (/^[1-9]\d{0,4}$/.test(part.trim()) ? Number(part) : 0))
  if (ids.includes(0)) throw new InvalidArgumentError('label ids above 0 were expected, as 1,2.')
  return distinct(ids)
}

function numbers(text: string): number[] {
  return distinct(text.split(',').map(positiveNumber))
}

function shares(text: string): number[] {
  const all = numbers(text)
  if (all.some((share) => share > 1)) throw new InvalidArgumentError('shares of at most 1 were expected.')
  return all
}

function distinct(values: number[]): number[] {
  if (new Set(values).size < values.length) throw new InvalidArgumentError('one is named twice.')
  return values
}
