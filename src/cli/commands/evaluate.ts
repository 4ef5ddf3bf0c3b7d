import { availableParallelism } from 'node:os'
import { InvalidArgumentError, Option } from 'commander'
import { REGIONS } from '../../config/schema.js'
import { EXIT, UsageError } from '../../errors.js'
import { PROFILES, type ProfileName } from '../../evaluation/profiles.js'
import type { Figure, LesionRates, Summary } from '../../evaluation/summary.js'
import { evaluateMasks } from '../../pipeline/evaluate.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { LABEL_SCHEMES, type LabelScheme } from '../../volume/labels.js'
import { wholeNumber } from '../numbers.js'
import { paint, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly predictions: string
  readonly labels: string
  readonly profile: ProfileName
  readonly out?: string
  readonly region: (typeof REGIONS)[number]
  readonly labelsIds?: readonly number[]
  readonly tumorIds?: readonly number[]
  readonly seed: number
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor evaluate`: figures of masks against labels. */
export const addEvaluateCommand: AddCommand = (program, io) => {
  withExample(
    program.command('evaluate'),
    'freetumor evaluate --predictions masks --labels labelsTr --profile freetumor --out evaluation',
  )
    .description('compares masks with the labels of the same names, as one of the published evaluations does')
    .requiredOption('--predictions <dir>', 'folder of masks')
    .requiredOption('--labels <dir>', 'folder of labels on the same grids')
    .addOption(
      new Option('--profile <name>', 'how it is counted')
        .choices(Object.keys(PROFILES))
        .makeOptionMandatory(),
    )
    .option('--out <dir>', 'writes summary.json, cases.csv and lesions.csv there')
    .addOption(
      new Option('--region <region>', 'whose label ids are measured').choices(REGIONS).default('abdomen'),
    )
    .option('--labels-ids <ids>', 'measure these label ids instead, as 1,2,...', labelIds)
    .option('--tumor-ids <ids>', 'those of them that are tumors, where the region does not say so', labelIds)
    .option('--seed <n>', 'of the confidence intervals', wholeNumber(0), 0)
    .option('--workers <n>', 'cases measured at a time', wholeNumber(1), Math.min(2, availableParallelism()))
    .addOption(outputOption())
    .action(async (options: Options) => {
      const scheme = LABEL_SCHEMES[options.region]
      const evaluation = await withLogFolder(io, torchRuntime(), (context) =>
        evaluateMasks({ ...options, ...measuredIds(options, scheme) }, context),
      )
      for (const { caseId, error } of evaluation.failed) {
        io.note(`${paint(io, 'red', 'failed')} ${caseId}: ${error.message}`)
        if (error.hint) io.note(`hint: ${error.hint}`)
      }
      printResult(io, options.output, evaluation, () => summaryText(evaluation.summary, scheme))
      if (evaluation.failed.length > 0) io.exitWith(EXIT.data)
    })
}

function measuredIds(
  { labelsIds, tumorIds }: Options,
  scheme: LabelScheme,
): { labelIds: number[]; tumorIds: number[] } {
  const labels = [...(labelsIds ?? scheme.names.keys())].filter((id) => id > 0)
  const stray = tumorIds?.find((id) => !labels.includes(id))
  if (stray !== undefined)
    throw new UsageError(
      `--tumor-ids names ${stray}, which is not among the label ids ${labels.join(', ')}`,
      {
        hint: 'name it with --labels-ids too',
      },
    )
  const tumors = tumorIds ?? scheme.organs.map(({ tumorLabel }) => tumorLabel)
  return { labelIds: labels, tumorIds: tumors.filter((id) => labels.includes(id)) }
}

function labelIds(text: string): number[] {
  const ids = text.split(',').map((part) => (/^[1-9]\d{0,4}$/.test(part.trim()) ? Number(part) : 0))
  if (ids.includes(0)) throw new InvalidArgumentError('label ids above 0 were expected, as 1,2.')
  if (new Set(ids).size < ids.length) throw new InvalidArgumentError('an id is named twice.')
  return ids
}

/** The figures for people; a label that no case has is left out. */
function summaryText(summary: Summary, scheme: LabelScheme): string {
  const failed = summary.failedCases.length
  const lines = [
    `profile ${summary.profile}: ${summary.numCases} cases on the ${summary.grid} grid${failed > 0 ? `, ${failed} failed` : ''}`,
  ]
  const add = (name: string, figure: Figure | null | undefined): void => {
    if (figure) lines.push(`${name.padEnd(28)} ${figureText(figure)}`)
  }
  for (const [id, { dice, nsd }] of Object.entries(summary.classes)) {
    const name = `${id} ${scheme.names[Number(id)] ?? ''}`.trim()
    add(`${name}, Dice`, dice)
    add(`${name}, NSD`, nsd)
  }
  add('mean over labels, Dice', summary.meanDice)
  add('all tumor, Dice', summary.tumorDice)
  add('all tumor, NSD', summary.tumorNsd)
  const { lesions } = summary
  if (lesions) {
    const addRates = (name: string, { sensitivity, precision, f1 }: LesionRates): void => {
      add(`${name}, sensitivity`, sensitivity)
      add(`${name}, precision`, precision)
      add(`${name}, F1`, f1)
    }
    addRates('lesions', lesions.all)
    for (const bin of lesions.bins)
      addRates(`${bin.by === 'radiusMm' ? 'radius' : 'diameter'} ${bin.from} to ${bin.to ?? '-'} mm`, bin)
    add('false-positive volume (ml)', lesions.falsePositiveVolumeMl)
    add('patients, sensitivity', lesions.patientSensitivity)
    add('patients, specificity', lesions.patientSpecificity)
  }
  return lines.join('\n')
}

function figureText({ mean, ci: [low, high], n }: Figure): string {
  return `${mean.toFixed(4)} (95 % ${low.toFixed(4)} to ${high.toFixed(4)}, ${n} cases)`
}
