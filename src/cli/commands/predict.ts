import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import {
  PREDICT_PROFILES,
  type PredictProfile,
  type PredictSettings,
  spacingOfProfile,
} from '../../config/predict-settings.js'
import { preparationOf, publishedPreparation } from '../../config/preparation.js'
import { REGIONS } from '../../config/schema.js'
import type { EvaluationSection } from '../../config/sections/evaluation.js'
import type { Split } from '../../curation/datasets/lists.js'
import { EXIT } from '../../errors.js'
import { type PredictOptions, type PredictProgress, predictMasks } from '../../pipeline/predict/run.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { readConfig } from '../config-file.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printLine, printResult } from '../output.js'
import { type AddCommand, outputOption, withExample } from '../program.js'
import { withLogFolder } from '../stage-context.js'

interface Options {
  readonly checkpoint: readonly string[]
  readonly images: string
  readonly split?: Split
  readonly allowOutside?: boolean
  readonly out: string
  readonly profile?: PredictProfile
  readonly region?: (typeof REGIONS)[number]
  readonly config?: string
  readonly merging?: string
  readonly overlap?: number
  readonly blend?: PredictSettings['blend']
  readonly windowBatch?: number
  readonly mirror?: PredictSettings['mirrorAxes'] | true
  readonly precision?: PredictSettings['precision']
  readonly grid?: PredictSettings['grid']
  readonly resampling?: PredictSettings['resampling']
  /** False with --no-crop. */
  readonly crop: boolean
  readonly padding?: PredictSettings['padding']
  readonly minForeground?: number
  readonly dataType?: PredictSettings['dataType']
  readonly map?: PredictSettings['map']
  readonly organMasks?: string
  readonly organIds?: readonly number[]
  readonly labels?: string
  readonly probabilities?: readonly number[] | true
  readonly overwrite?: boolean
  readonly device?: 'auto' | 'cpu' | 'cuda'
  readonly processes?: number
  readonly threads?: number
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor predict`: label maps of scans. */
export const addPredictCommand: AddCommand = (program, io) => {
  withExample(
    program.command('predict'),
    'freetumor predict --checkpoint runs/first/checkpoints/step_00000060/model.pt --images scans --out masks',
    'freetumor predict --checkpoint fold0.pt --checkpoint fold1.pt --mirror --images list.json --split test --out masks',
    'freetumor predict --checkpoint model.pt --profile leaderboard --images scans --out masks',
  )
    .description('Segment scans; masks lie on the grid of their scan')
    .requiredOption('--checkpoint <file...>', 'Use these weights of a segmentor; several are averaged')
    .requiredOption(
      '--images <path>',
      'Read a folder of scans, a data set, one scan, or a list (.json, .txt)',
    )
    .requiredOption('--out <dir>', 'Set the folder for the masks; a stopped prediction is resumed')
    .addOption(
      choice('--split <split>', 'Select the split of a list that has several', [
        'training',
        'validation',
        'test',
      ]),
    )
    .option('--allow-outside', 'Accept a list that names files outside its own folder')
    .addOption(choice('--profile <name>', 'Use the settings of a published evaluation', PREDICT_PROFILES))
    .addOption(
      choice(
        '--region <region>',
        'Set intensity window, spacing and patch if the file does not state them',
        REGIONS,
      ),
    )
    .option('--config <file>', 'Read window, spacing, patch, device and precision from a run configuration')
    .addOption(
      choice('--merging <order>', 'Set the patch-merging order of a file that does not state it', [
        'legacy',
        'corrected',
        'v2',
      ]),
    )
    .option('--overlap <share>', 'Set the overlap of neighbouring sliding windows (default 0.75)', share)
    .addOption(
      choice('--blend <kind>', 'Set the weights within a sliding window (default constant)', [
        'constant',
        'gaussian',
      ]),
    )
    .option('--window-batch <n>', 'Set the sliding windows per batch (default 4)', wholeNumber(1))
    .option('--mirror [axes]', 'Average over mirrored windows, along these axes: 0,1,2 (all)', axes)
    .addOption(
      choice('--precision <type>', 'Set the precision of the network (default fp32)', [
        'fp32',
        'bf16',
        'fp16',
      ]),
    )
    .addOption(
      choice('--grid <grid>', 'Set the grid of the masks (default original)', ['original', 'prepared']),
    )
    .addOption(
      choice(
        '--resampling <kind>',
        'Resample the mask by nearest, or the logits linearly (default nearest)',
        ['nearest', 'linear'],
      ),
    )
    .option('--no-crop', "Keep voxels outside the box of voxels above the window's lower end")
    .addOption(
      choice(
        '--padding <value>',
        "Set the padding of small scans: the window's lower end, or the scan's minimum",
        ['lowerEnd', 'minimum'],
      ),
    )
    .option(
      '--min-foreground <share>',
      "Skip windows with a smaller share of voxels above the window's lower end",
      share,
    )
    .addOption(
      choice('--data-type <type>', 'Set the data type of the masks (default uint8)', ['uint8', 'scan']),
    )
    .option('--map <ids>', 'Map ids: `leaderboard` (2, 4, 6 become 1, all else 0), or from:to,...', labelMap)
    .option(
      '--organ-masks <dir>',
      'Remove tumors outside these label maps, which have the names of the scans',
    )
    .option('--organ-ids <ids>', 'Set the ids of the organ in them, as 1,2 (default: every id but 0)', ids)
    .option('--labels <dir>', 'Write the labels of the scans on the prepared grid, too')
    .option(
      '--probabilities [outputs]',
      'Write probabilities of these outputs, as 2,4 (all), next to the masks',
      ids,
    )
    .option('--overwrite', 'Overwrite existing masks')
    .addOption(choice('--device <device>', 'Set the device (default auto)', ['auto', 'cpu', 'cuda']))
    .option(
      '--processes <n>',
      'Set the number of processes (or GPUs) that share the cases (default 1)',
      wholeNumber(1),
    )
    .option('--threads <n>', 'Set the threads of each process (default: all cores, divided)', wholeNumber(1))
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (options: Options) => {
      const started = performance.now()
      const settings = await optionsOf(options, io)
      const prediction = await withLogFolder(io, torchRuntime(), (context) =>
        predictMasks(
          {
            ...settings,
            onCase: (progress) => {
              if (options.output === 'ndjson') printLine(io, 'predict', progress.case)
              tell(io, progress, performance.now() - started)
            },
          },
          context,
        ),
      )
      const { cases, failed } = prediction
      const summary = `${cases.length} masks in ${options.out}, ${failed.length} failed`
      if (options.output !== 'ndjson') printResult(io, 'predict', options.output, prediction, () => [summary])
      if (failed.length + prediction.leftOut.length > 0) io.exitWith(EXIT.data)
    })
}

/** The flags, over what a configuration says; window, spacing and patch are for files that do not say them. */
async function optionsOf(options: Options, io: CliIo): Promise<PredictOptions> {
  const { region, config: file, profile, merging, crop, mirror, probabilities, threads, ...flags } = options
  const config = file === undefined ? null : await readConfig(io, file)
  const preparation = config
    ? preparationOf(config)
    : region === undefined
      ? null
      : publishedPreparation(region)
  const ofProfile = config === null ? spacingOfProfile(profile ?? null) : null
  const processes = flags.processes ?? config?.runtime.processesPerNode ?? 1
  return {
    ...(config && profile === undefined ? windowsOf(config.evaluation) : {}),
    ...(config ? { device: config.runtime.device, precision: config.runtime.precision } : {}),
    ...flags,
    images: resolve(io.cwd, flags.images),
    out: resolve(io.cwd, flags.out),
    checkpoint: flags.checkpoint.map((path) => resolve(io.cwd, path)),
    ...(flags.labels === undefined ? {} : { labels: resolve(io.cwd, flags.labels) }),
    ...(flags.organMasks === undefined ? {} : { organMasks: resolve(io.cwd, flags.organMasks) }),
    profile,
    patchMerging: merging,
    processes,
    threadsPerProcess:
      threads ??
      config?.runtime.threadsPerProcess ??
      Math.max(1, Math.floor(availableParallelism() / processes)),
    probabilities: probabilities === true ? 'all' : probabilities,
    ...(crop ? {} : { cropForeground: false }),
    ...(mirror === undefined ? {} : { mirrorAxes: mirror === true ? ([0, 1, 2] as const) : mirror }),
    ...preparation,
    ...(ofProfile === null ? {} : { spacingMm: ofProfile }),
  }
}

function windowsOf({ overlap, blend, windowBatch }: EvaluationSection) {
  return { overlap, blend, windowBatch }
}

function tell(io: CliIo, { done, total, case: one }: PredictProgress, milliseconds: number): void {
  if ('error' in one) {
    io.note(`failed ${one.caseId}: ${one.error.message}`)
    if (one.error.hint) io.note(`hint: ${one.error.hint}`)
    return
  }
  const { all, computed } = one.windows
  const left = Math.round((milliseconds / 1000 / done) * (total - done))
  const seconds = one.seconds.read + one.seconds.segment + one.seconds.write
  io.note(
    `${done}/${total}  ${one.caseId}  ${computed} of ${all} windows  ${seconds.toFixed(1)} s, ${left} s left`,
  )
}

function choice(flag: string, description: string, choices: readonly string[]): Option {
  return new Option(flag, description).choices(choices)
}

function share(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value >= 0 && value < 1))
    throw new InvalidArgumentError('a number from 0 to below 1 was expected.')
  return value
}

function axes(text: string): PredictSettings['mirrorAxes'] {
  const named = text.split(',')
  if (!named.every((one) => /^[012]$/.test(one)) || new Set(named).size < named.length)
    throw new InvalidArgumentError('axes 0, 1, 2 were expected, as 0,1.')
  return named.map((one) => Number(one) as 0 | 1 | 2).sort()
}

function ids(text: string): readonly number[] {
  const named = text.split(',')
  if (!named.every((one) => /^\d{1,5}$/.test(one)))
    throw new InvalidArgumentError('ids were expected, as 1,2.')
  return named.map(Number)
}

function labelMap(text: string): PredictSettings['map'] {
  if (text === 'leaderboard') return 'leaderboard'
  const pairs = text.split(',').map((pair) => /^(\d+):(\d+)$/.exec(pair))
  if (pairs.includes(null)) throw new InvalidArgumentError('leaderboard, or from:to,from:to was expected.')
  const map = Object.fromEntries(pairs.map((pair) => [pair![1]!, Number(pair![2])]))
  if (Object.keys(map).length < pairs.length) throw new InvalidArgumentError('an output is given two ids.')
  return map
}
