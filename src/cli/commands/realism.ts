import { resolve } from 'node:path'
import { EXIT } from '../../errors.js'
import type { MergingOrder } from '../../pipeline/ports/checkpoint.js'
import { parseLimit, readLimits } from '../../pipeline/realism/limits.js'
import type { RealismLimit } from '../../pipeline/realism/result.js'
import { compareRealism, type Realism } from '../../pipeline/realism/run.js'
import { REALISM_DEFAULTS } from '../../pipeline/realism/settings.js'
import { counted } from '../../plain-text.js'
import { short } from '../../report/wording.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { usableProcessors } from '../../usable-processors.js'
import { positiveNumber, wholeNumber } from '../numbers.js'
import { type CliIo, paint, printResult } from '../output.js'
import { type AddCommand, mergingOption, outputOption, weightsOption, withExample } from '../program.js'
import { caseProgress } from '../progress.js'
import { addSourceOptions, type SourceFlags, sourceOptions } from '../source-options.js'
import { withLogFolder } from '../stage-context.js'

interface Options extends SourceFlags {
  readonly out: string
  readonly checkpoint?: string
  readonly merging?: MergingOrder
  readonly weights?: string
  readonly limits?: string
  readonly limit?: readonly RealismLimit[]
  readonly minTumors: number
  readonly spacing: number
  readonly permutations: number
  readonly resamples: number
  readonly seed: number
  readonly workers: number
  readonly output: 'text' | 'json'
}

/** `freetumor realism`: compare synthetic tumors with real ones. */
export const addRealismCommand: AddCommand = (program, io) => {
  const command = withExample(
    program.command('realism'),
    'freetumor realism synthetic data/KiTS --out realism',
    'freetumor realism synthetic my-folder --map liver=1,liver-tumor=2 --out realism',
    'freetumor realism synthetic data/KiTS --out realism --limit classifierAuc=0.8 --limit copies=0',
    'freetumor realism synthetic data/KiTS --out realism --checkpoint runs/first',
  )
    .description('Compare synthetic with real tumors, and search for copies; exit 3 if a limit is exceeded')
    .argument('<synthetic>', 'folder that `synthesize` wrote, or another data set')
    .argument('<real>', 'data set, list, manifest or configuration with labelled tumors')
    .requiredOption('--out <dir>', 'Write realism.json, nearest.csv and report.html here')
  addSourceOptions(command)
    .option(
      '--checkpoint <file>',
      'Train a second classifier on features of this segmentor (file, run or step)',
    )
    .addOption(mergingOption())
    .addOption(weightsOption())
    .option('--limits <file>', 'Read limits from a JSON file')
    .option(
      '--limit <measure=max>',
      'Set the highest allowed value of a measure; repeatable',
      (word: string, before: readonly RealismLimit[] = []) => [...before, parseLimit(word)],
    )
    .option(
      '--min-tumors <n>',
      'Measure groups with at least N tumors on each side',
      wholeNumber(2),
      REALISM_DEFAULTS.minTumors,
    )
    .option(
      '--spacing <mm>',
      'Set the grid of the measures, 0.25 to 2',
      positiveNumber,
      REALISM_DEFAULTS.spacingMm,
    )
    .option(
      '--permutations <n>',
      'Exchange patients N times for the chance level',
      wholeNumber(19),
      REALISM_DEFAULTS.permutations,
    )
    .option(
      '--resamples <n>',
      'Resample patients N times for the intervals',
      wholeNumber(20),
      REALISM_DEFAULTS.resamples,
    )
    .option('--seed <n>', 'Set the seed of all random numbers', wholeNumber(0), REALISM_DEFAULTS.seed)
    .option(
      '--workers <n>',
      'Measure N cases at a time, each in a process',
      wholeNumber(1),
      Math.min(2, usableProcessors().processors),
    )
    .addOption(outputOption())
    .action(async (synthetic: string, real: string, options: Options) => {
      const {
        limits: file,
        limit = [],
        spacing,
        out,
        minTumors,
        permutations,
        resamples,
        seed,
        workers,
      } = options
      const limits = [...(file === undefined ? [] : await readLimits(resolve(io.cwd, file))), ...limit]
      const settings = { minTumors, permutations, resamples, seed, workers, spacingMm: spacing }
      const { checkpoint, merging: patchMerging, weights } = options
      const encoder = { checkpoint, patchMerging, weights }
      const asked = { ...sourceOptions(io, options), synthetic, real, out, limits, ...settings, ...encoder }
      const result = await withLogFolder(io, torchRuntime(), (context) =>
        compareRealism({ ...asked, onCase: caseProgress(io) }, context),
      )
      printResult(io, 'realism', options.output, result, () => realismText(result, io))
      if (result.exceeded.length + result.failed.length > 0) io.exitWith(EXIT.data)
    })
}

function realismText(result: Realism, io: CliIo): string[] {
  const { measures, nearest, copies, failed, exceeded, notes, out } = result
  const overall = measures.filter(({ organ, size }) => organ === 'all' && size === 'all')
  const missing = overall.find(({ notMeasured }) => notMeasured !== null)
  return [
    ...(missing === undefined || overall.some(({ value }) => value !== null) ? [] : [missing.notMeasured!]),
    ...overall.flatMap(({ name, value, ci, p, null: chance, unit }) =>
      value === null
        ? []
        : [
            `${name.padEnd(22)} ${short(value).padStart(7)} ${unit}${ci === null ? '' : `, 95 % ${short(ci[0])} to ${short(ci[1])}`}${chance === null ? '' : `, chance ${short(chance.mean)}`}${p === null ? '' : `, p ${p.toFixed(3)}`}`,
          ],
    ),
    copies === null
      ? 'copies: not judged'
      : `copies: ${copies} of ${counted(nearest.length, 'synthetic tumor')} above the threshold`,
    ...notes,
    ...failed.map(({ caseId, error }) => `${paint(io, 'red', 'failed')} ${caseId}: ${error.message}`),
    ...exceeded.map(
      ({ measure, organ, size, max, value }) =>
        `${paint(io, 'red', 'limit')} ${measure} (${organ}, ${size}): expected at most ${max}, found ${value === null ? 'no figure' : short(value)}`,
    ),
    `report: ${out}/report.html`,
  ]
}
