import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { UsageError } from '../../errors.js'
import {
  DATASET_FORMATS,
  type DatasetExport,
  type DatasetFormat,
  exportDatasetOf,
} from '../../pipeline/export/dataset.js'
import { exportModelOf, MODEL_FORMATS, type ModelExport } from '../../pipeline/export/model.js'
import { isDatasetPath } from '../../pipeline/export/source.js'
import type { MergingOrder } from '../../pipeline/ports/checkpoint.js'
import type { ModelFormat } from '../../pipeline/ports/export.js'
import { counted } from '../../plain-text.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, type OutputFormat, printResult } from '../output.js'
import { type AddCommand, outputOption, weightsOption, withExample } from '../program.js'
import { addSourceOptions, type SourceFlags, sourceOptions } from '../source-options.js'
import { withLogFolder } from '../stage-context.js'

interface ExportFlags extends SourceFlags {
  readonly to: ModelFormat | DatasetFormat
  readonly out: string
  readonly merging?: MergingOrder
  readonly weights?: string
  readonly name?: string
  readonly number?: number
  readonly folds?: number
  readonly seed?: number
  readonly output: OutputFormat
}

const OF_WEIGHTS = ['merging', 'weights'] as const
const OF_DATA = ['name', 'number', 'folds', 'seed', 'root', 'as', 'map', 'labels', 'allowOutside'] as const

/** `freetumor export` */
export const addExportCommand: AddCommand = (program, io) => {
  const command = withExample(
    program.command('export'),
    'freetumor export runs/segmentor/first --to onnx --out model',
    'freetumor export runs/segmentor/first --to monai-bundle --out bundle',
    'freetumor export hosts.json synthetic --to nnunet --out nnUNet_raw --number 501',
  )
    .description('Write a trained network, or a data set, in the format of another project')
    .argument('<path...>', 'a run or file of weights; or data sets, manifests and configurations')
    .addOption(
      new Option('--to <format>', 'Set the format: of weights or data sets')
        .choices([...new Set([...MODEL_FORMATS, ...DATASET_FORMATS])])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <dir>', 'Write into this folder; the folder of weights must be new or empty')
    .addOption(
      new Option(
        '--merging <order>',
        'Set the patch-merging order of a checkpoint that does not state it',
      ).choices(['legacy', 'corrected', 'v2']),
    )
    .addOption(weightsOption())
    .option('--name <name>', 'Set the name of the data set (default: that of its first case)')
    .option('--number <n>', 'Set the number of the data set in nnUNet_raw (default: 501)', wholeNumber(1))
    .option('--folds <n>', 'Set the number of folds of the data set (default: 5)', wholeNumber(2))
    .option('--seed <n>', 'Set the seed of the folds (default: 0)', wholeNumber(0))
    .option('--labels <path>', 'Read the labels of the scans here')
  addSourceOptions(command)
    .addHelpText(
      'after',
      '\nFor weights, --region states the preparation that a file does not state.\nonnx needs `freetumor setup --extra export`.',
    )
    .addOption(outputOption())
    .action(async (paths: string[], flags: ExportFlags, self: Command) => {
      const exported = (await isDatasetPath(paths[0]!, io.cwd))
        ? await exportData(io, paths, flags, self)
        : await exportWeights(io, paths, flags, self)
      printResult(io, 'export', flags.output, exported, () => describe(exported))
    })
}

async function exportWeights(io: CliIo, paths: readonly string[], flags: ExportFlags, command: Command) {
  const [path, further] = paths
  if (further !== undefined)
    throw new UsageError(`export: several paths (expected one run or file of weights, found ${further})`, {
      hint: 'export each by itself',
    })
  const { to, out, merging, weights, region } = flags
  if (!isOneOf(MODEL_FORMATS, to)) throw wrongFormat(to, path!, MODEL_FORMATS, 'weights')
  refuse(command, OF_DATA, 'a data set')
  return await withLogFolder(io, torchRuntime(), (context) =>
    exportModelOf(
      resolve(io.cwd, path!),
      { to, out: resolve(io.cwd, out), merging, weights, region },
      context,
    ),
  )
}

async function exportData(io: CliIo, paths: readonly string[], flags: ExportFlags, command: Command) {
  const { to, out, name, number, folds, seed } = flags
  if (!isOneOf(DATASET_FORMATS, to)) throw wrongFormat(to, paths[0]!, DATASET_FORMATS, 'a data set')
  refuse(command, OF_WEIGHTS, 'weights')
  return await exportDatasetOf(paths, {
    ...sourceOptions(io, flags),
    ...{ to, out, name, number, folds, seed, signal: io.signal },
    onCase: (done, total) => {
      if (done % 20 === 0 || done === total) io.note(`${done}/${total} cases`)
    },
  })
}

function isOneOf<T extends string>(formats: readonly T[], value: string): value is T {
  return (formats as readonly string[]).includes(value)
}

function wrongFormat(to: string, path: string, formats: readonly string[], what: string): UsageError {
  return new UsageError(
    `--to ${to}: wrong format for ${what} (expected ${formats.join(' or ')}, found ${to} for ${path})`,
    { hint: `pass --to ${formats[0]}` },
  )
}

/** @throws UsageError for an option that belongs to the other kind of export */
function refuse(command: Command, names: readonly string[], what: string): void {
  const given = names.find((name) => command.getOptionValueSource(name) === 'cli')
  if (given === undefined) return
  const flag = `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  throw new UsageError(`${flag}: only for an export of ${what}`, { hint: `omit ${flag}` })
}

function describe(exported: ModelExport | DatasetExport): string[] {
  if ('files' in exported)
    return [
      `${exported.out}: ${exported.kind ?? 'weights'}, ${counted(exported.tensors, 'tensor')}`,
      ...(exported.deviation === null
        ? []
        : [`  largest deviation of a logit: ${exported.deviation.toExponential(1)}`]),
      ...exported.files.map(
        ({ name, bytes, sha256 }) => `  ${name}  ${(bytes / 1e6).toFixed(1)} MB  sha256 ${sha256}`,
      ),
    ]
  const { out, training, test, synthetic, folds } = exported
  return [
    `${out}: ${counted(training, 'training case')}, ${synthetic} of them synthetic; ${counted(test, 'test case')}`,
    `held-out cases by fold: ${folds.join(', ')}`,
  ]
}
