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
import type { Shard } from '../../curation/datasets/shard.js'
import { EXIT, UsageError } from '../../errors.js'
import { type DicomPrediction, predictDicom } from '../../pipeline/flows/dicom-chain.js'
import { type PredictionWithSegs, predictWithSegs } from '../../pipeline/flows/dicom-seg.js'
import type { MergingOrder } from '../../pipeline/ports/checkpoint.js'
import type { PredictionCase, PredictOptions, PredictProgress } from '../../pipeline/predict/run.js'
import { counted } from '../../plain-text.js'
import { dicomReader } from '../../runtime/dicom.js'
import { segWriter } from '../../runtime/dicom-seg.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { threadsOf } from '../../usable-processors.js'
import { readConfig } from '../config-file.js'
import { dicomSource, segOptions, segText } from '../dicom-options.js'
import { labelIds, outputMap, outputNames } from '../label-ids.js'
import { wholeNumber } from '../numbers.js'
import { type CliIo, printLine, printResult } from '../output.js'
import { pluginOfWords } from '../plugin-words.js'
import { type AddCommand, mergingOption, outputOption, weightsOption, withExample } from '../program.js'
import { durationOf } from '../progress.js'
import { shardOf, shardOption } from '../shard-option.js'
import { withLogFolder } from '../stage-context.js'

/** Time between two notes of the progress within a case. */
const WINDOW_NOTE_MS = 10_000

interface Options {
  readonly checkpoint?: readonly string[]
  readonly plugin?: readonly string[]
  readonly pluginPython?: string
  readonly images?: string
  readonly split?: Split
  readonly allowOutside?: boolean
  readonly out: string
  readonly profile?: PredictProfile
  readonly region?: (typeof REGIONS)[number]
  readonly config?: string
  readonly merging?: MergingOrder
  readonly weights?: string
  readonly overlap?: number
  readonly blend?: PredictSettings['blend']
  readonly windowBatch?: number
  readonly windows?: PredictSettings['windows']
  readonly glance?: string
  readonly mirror?: PredictSettings['mirrorAxes'] | true
  readonly precision?: PredictSettings['precision']
  readonly grid?: PredictSettings['grid']
  readonly resampling?: PredictSettings['resampling']
  /** False with --no-crop. */
  readonly crop: boolean
  readonly padding?: PredictSettings['padding']
  readonly minForeground?: number
  readonly dataType?: PredictSettings['dataType']
  readonly map?: string
  readonly organMasks?: string
  readonly organIds?: string
  readonly labels?: string
  readonly probabilities?: readonly (number | string)[] | true
  readonly operatingPoint?: string
  readonly overwrite?: boolean
  readonly device?: 'auto' | 'cpu' | 'cuda'
  readonly workers?: number
  readonly threads?: number
  readonly dicom?: string
  readonly dicomSeg?: string | true
  readonly dicomSegLabels?: string
  readonly shard?: Shard
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor predict`: segment scans. */
export const addPredictCommand: AddCommand = (program, io) => {
  withExample(
    program.command('predict'),
    'freetumor predict --checkpoint runs/first/checkpoints/step_00000060/model.pt --images scans --out masks',
    'freetumor predict --checkpoint fold0.pt --checkpoint fold1.pt --mirror --images list.json --split test --out masks',
    'freetumor predict --checkpoint model.pt --profile leaderboard --images scans --out masks',
    'freetumor predict --checkpoint model.pt --dicom series --out hospital --dicom-seg',
  )
    .description('Segment scans; a mask has the grid of its scan')
    .option(
      '--checkpoint <file...>',
      'Use these weights (file, run or step) of a segmentor; the probabilities of several are averaged',
    )
    .option('--plugin <word...>', 'Segment with this program instead, in an environment of its own')
    .option('--plugin-python <path>', 'Run the words of --plugin with this Python')
    .option('--images <path>', 'Read a folder of scans, a data set, one scan, or a list (.json, .txt)')
    .option('--dicom <dir>', 'Convert the DICOM series below this folder first; masks are in OUT/masks')
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
        'Set intensity window, spacing and patch of a checkpoint that does not state them',
        REGIONS,
      ),
    )
    .option(
      '--config <file>',
      'Read intensity window, spacing, patch, device and precision from a run configuration',
    )
    .addOption(mergingOption())
    .addOption(weightsOption())
    .option(
      '--overlap <share>',
      'Set the overlap of sliding windows (default: that of the run, else 0.75)',
      share,
    )
    .addOption(
      choice(
        '--blend <kind>',
        'Set the weights within a sliding window (default: those of the run, else constant)',
        ['constant', 'gaussian'],
      ),
    )
    .addOption(
      choice(
        '--windows <choice>',
        'Compute all sliding windows, those near organs, or those near findings (default: all)',
        ['all', 'organs', 'coarse'],
      ),
    )
    .option(
      '--glance <file>',
      'Choose these sliding windows by a segmentor of a coarser spacing (file or run)',
    )
    .option('--window-batch <n>', 'Set the sliding windows per batch on a GPU (default: 4)', wholeNumber(1))
    .option(
      '--mirror [axes]',
      'Average over windows mirrored along these axes, such as 0,1; without axes: all',
      axes,
    )
    .addOption(
      choice('--precision <type>', 'Set the precision of the network (default: fp32)', [
        'fp32',
        'bf16',
        'fp16',
      ]),
    )
    .addOption(
      choice('--grid <grid>', 'Set the grid of the masks (default: original)', ['original', 'prepared']),
    )
    .addOption(
      choice(
        '--resampling <kind>',
        'Resample the mask by nearest, or the logits linearly (default: nearest)',
        ['nearest', 'linear'],
      ),
    )
    .option(
      '--no-crop',
      'Segment the whole scan, not only its foreground (voxels above the lower end of the intensity window)',
    )
    .addOption(
      choice(
        '--padding <value>',
        'Set the HU that pads small scans: lower end of the intensity window, or minimum of the scan',
        ['lowerEnd', 'minimum'],
      ),
    )
    .option(
      '--min-foreground <share>',
      'Skip sliding windows with a smaller share of foreground (default: 0)',
      share,
    )
    .addOption(
      choice('--data-type <type>', 'Set the data type of the masks (default: uint8)', ['uint8', 'scan']),
    )
    .option(
      '--map <map>',
      'Map outputs to ids: `region`, `leaderboard` (tumors 1, others 0), or output:id,...',
    )
    .option(
      '--organ-masks <dir>',
      'Remove tumors outside these organs; the label maps have the names of the scans',
    )
    .option(
      '--organ-ids <ids>',
      'Set the organ in them by id or name: 1,2 or liver (default: every id above 0)',
    )
    .option('--labels <dir>', 'Read labels of the scans; write them on the prepared grid')
    .option(
      '--probabilities [outputs]',
      'Write probabilities of these outputs, such as 2,liver-tumor; without outputs: all',
      outputNames,
    )
    .option('--dicom-seg [dir]', 'Write DICOM SEG for the CT series in this folder, or of --dicom')
    .option('--dicom-seg-labels <pairs>', 'Name the ids of the masks for --dicom-seg: 1:liver,2:liver-tumor')
    .option('--operating-point <file>', 'Remove lesions below the operating point that `calibrate` wrote')
    .option('--overwrite', 'Overwrite existing masks')
    .addOption(choice('--device <device>', 'Set the device (default: auto)', ['auto', 'cpu', 'cuda']))
    .option(
      '--workers <n>',
      'Set the number of processes, or GPUs, that share the cases (default: 1)',
      wholeNumber(1),
    )
    .option(
      '--threads <n>',
      'Set the threads of each worker (default: cores divided by workers)',
      wholeNumber(1),
    )
    .addOption(shardOption())
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (options: Options, command) => {
      const started = performance.now()
      refuseWrongInput(options)
      const settings = await optionsOf(options, io)
      const whole: PredictOptions = {
        ...settings,
        ...shardOf(options.shard, command),
        onCase: (progress) => {
          if (options.output === 'ndjson') printLine(io, 'predict', progress.case)
          noteCase(io, progress, performance.now() - started)
        },
        onWindows: windowProgress(io),
      }
      const seg = segOptions(options, io)
      const source = dicomSource(options, io, options.region)
      const tools = { reader: dicomReader(), writer: segWriter() }
      const prediction = await withLogFolder<PredictionWithSegs & Partial<DicomPrediction>>(
        io,
        torchRuntime(),
        (context) =>
          source === null
            ? predictWithSegs(whole, seg, context, tools.writer)
            : predictDicom(source, whole, seg, context, tools),
      )
      const { cases, failed } = prediction
      // as the user wrote it; masks of DICOM series lie in a folder of OUT
      const place = source === null ? options.out : prediction.directory
      const summary = `${counted(cases.length, 'mask')} in ${place}, ${failed.length} failed`
      if (options.output !== 'ndjson')
        printResult(io, 'predict', options.output, prediction, () => [
          summary,
          ...removedText(prediction.cases),
          ...segText(prediction.segmentations),
        ])
      const failures =
        failed.length + prediction.leftOut.length + (prediction.segmentations?.failed.length ?? 0)
      if (failures > 0 || prediction.conversion?.complete === false) io.exitWith(EXIT.data)
    })
}

/** Return how many lesions an operating point removed; nothing without one. */
function removedText(cases: readonly PredictionCase[]): string[] {
  const counts = cases.flatMap(({ lesions }) => lesions ?? [])
  if (counts.length === 0) return []
  const sum = (of: 'kept' | 'removed'): number => counts.reduce((total, one) => total + one[of], 0)
  const free = counts.filter(({ kept }) => kept === 0).length
  return [
    `operating point: ${counted(sum('kept'), 'lesion')} kept, ${sum('removed')} removed, ${free} of ${counted(counts.length, 'scan')} lesion-free`,
  ]
}

/** @throws UsageError unless exactly one of the inputs is named */
function refuseWrongInput({ images, dicom }: Options): void {
  if ((images === undefined) !== (dicom === undefined)) return
  const found = images === undefined ? 'none' : 'both'
  throw new UsageError(`predict: wrong input (expected --images or --dicom, found ${found})`, {
    hint: 'pass --images DIR, or --dicom DIR for DICOM series',
  })
}

/** Return a callback that prints the progress within a case, at most every 10 s, with the time left. */
function windowProgress(io: CliIo): NonNullable<PredictOptions['onWindows']> {
  const begun = new Map<string, { readonly atMs: number; readonly done: number; printedMs: number }>()
  return (caseId, done, total) => {
    const nowMs = performance.now()
    const first = begun.get(caseId)
    if (first === undefined) begun.set(caseId, { atMs: nowMs, done, printedMs: nowMs })
    else if (nowMs - first.printedMs >= WINDOW_NOTE_MS) {
      first.printedMs = nowMs
      const seconds = ((nowMs - first.atMs) / 1000 / (done - first.done)) * (total - done)
      io.note(`${caseId}: ${done} of ${total} windows, ${durationOf(seconds)} left`)
    }
  }
}

/** Return the flags, laid over a configuration. Window, spacing and patch are for checkpoints that do not state them. */
async function optionsOf(options: Options, io: CliIo): Promise<PredictOptions> {
  const {
    region,
    config: file,
    profile,
    merging,
    crop,
    mirror,
    probabilities,
    threads,
    workers,
    ...rest
  } = options
  const { map, organIds, plugin, pluginPython, checkpoint = [], ...others } = rest
  const { dicom: _dicom, dicomSeg: _seg, dicomSegLabels: _labels, ...flags } = others
  const config = file === undefined ? null : await readConfig(io, file)
  const preparation = config
    ? preparationOf(config)
    : region === undefined
      ? null
      : publishedPreparation(region)
  const ofProfile = config === null ? spacingOfProfile(profile ?? null) : null
  const named = region ?? config?.region ?? null
  const processes = workers ?? config?.runtime.processesPerNode ?? 1
  return {
    ...(config && profile === undefined ? windowsOf(config.evaluation) : {}),
    ...(config ? { device: config.runtime.device, precision: config.runtime.precision } : {}),
    ...flags,
    images: resolve(io.cwd, flags.images ?? ''),
    out: resolve(io.cwd, flags.out),
    checkpoint: checkpoint.map((path) => resolve(io.cwd, path)),
    ...(flags.glance === undefined ? {} : { glance: resolve(io.cwd, flags.glance) }),
    ...(plugin === undefined ? {} : { plugin: pluginOfWords(plugin, pluginPython, io.cwd) }),
    ...(flags.labels === undefined ? {} : { labels: resolve(io.cwd, flags.labels) }),
    ...(flags.operatingPoint === undefined ? {} : { operatingPoint: resolve(io.cwd, flags.operatingPoint) }),
    ...(flags.organMasks === undefined ? {} : { organMasks: resolve(io.cwd, flags.organMasks) }),
    profile,
    patchMerging: merging,
    processes,
    threadsPerProcess:
      threads ??
      threadsOf({
        threadsPerProcess: config?.runtime.threadsPerProcess ?? 'auto',
        processesPerNode: processes,
      }).threads,
    probabilities: probabilities === true ? 'all' : probabilities,
    ...(map === undefined ? {} : { map: outputMap(map, named) }),
    ...(organIds === undefined ? {} : { organIds: labelIds('--organ-ids', organIds, named) }),
    ...(crop ? {} : { cropForeground: false }),
    ...(mirror === undefined ? {} : { mirrorAxes: mirror === true ? ([0, 1, 2] as const) : mirror }),
    ...preparation,
    ...(ofProfile === null ? {} : { spacingMm: ofProfile }),
  }
}

function windowsOf({ overlap, blend, windowBatch }: EvaluationSection) {
  return { overlap, blend, windowBatch }
}

function noteCase(io: CliIo, { done, total, case: one }: PredictProgress, milliseconds: number): void {
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
    throw new InvalidArgumentError('a number from 0 to below 1')
  return value
}

function axes(text: string): PredictSettings['mirrorAxes'] {
  const named = text.split(',')
  if (!named.every((one) => /^[012]$/.test(one)) || new Set(named).size < named.length)
    throw new InvalidArgumentError('axes among 0,1,2, distinct')
  return named.map((one) => Number(one) as 0 | 1 | 2).sort()
}
