import { resolve } from 'node:path'
import { InvalidArgumentError, Option } from 'commander'
import { DEFAULT_CACHE } from '../../config/defaults.js'
import { ORGAN_NAMES, REGIONS } from '../../config/schema.js'
import type { LabelIdMap } from '../../curation/datasets/registry.js'
import { parseMap } from '../../curation/datasets/remap.js'
import type { Shard } from '../../curation/datasets/shard.js'
import { EXIT, UsageError } from '../../errors.js'
import { checkpointFile } from '../../pipeline/checkpoint/checkpoint-file.js'
import type { StageContext } from '../../pipeline/context.js'
import { type DicomSynthesis, synthesizeDicom } from '../../pipeline/flows/dicom-chain.js'
import { type SynthesisWithSegs, synthesizeWithSegs } from '../../pipeline/flows/dicom-seg.js'
import type { Synthesis } from '../../pipeline/synthesize/dataset.js'
import type { SynthesisProgress } from '../../pipeline/synthesize/run.js'
import {
  type SynthesisFlags,
  type SynthesisSections,
  type SynthesisSettings,
  settingsOfWeights,
  synthesisSettings,
} from '../../pipeline/synthesize/settings.js'
import { counted, quoted } from '../../plain-text.js'
import { dicomReader } from '../../runtime/dicom.js'
import { segWriter } from '../../runtime/dicom-seg.js'
import { toolRunner } from '../../runtime/tool.js'
import { torchRuntime } from '../../runtime/torch-runtime.js'
import { LABEL_SCHEMES, type OrganName } from '../../volume/labels.js'
import { readConfig } from '../config-file.js'
import { dicomSource, segOptions, segText } from '../dicom-options.js'
import { wholeNumber } from '../numbers.js'
import { organNotes, organSource } from '../organ-options.js'
import { type CliIo, printLine, printResult } from '../output.js'
import { type AddCommand, mapDescription, outputOption, withExample } from '../program.js'
import { shardOf, shardOption } from '../shard-option.js'
import { withLogFolder } from '../stage-context.js'

interface Options extends Omit<SynthesisFlags, 'weights'> {
  readonly config?: string
  readonly set?: string[]
  readonly weights?: readonly string[]
  readonly images?: string
  readonly labels?: string
  readonly map?: string
  readonly licence?: string
  readonly allowEmpty?: boolean
  readonly dicom?: string
  readonly organsWith?: readonly string[]
  readonly toolPython?: string
  readonly dicomSeg?: string | true
  readonly shard?: Shard
  readonly out: string
  readonly output: 'text' | 'json' | 'ndjson'
}

/** `freetumor synthesize`: write a synthetic data set. */
export const addSynthesizeCommand: AddCommand = (program, io) => {
  withExample(
    program.command('synthesize'),
    'freetumor synthesize --generator model.pt --baseline baseline.pt --images scans --labels organs --out synthetic --variants 5',
    'freetumor synthesize --config abdomen-segmentation.yaml --out synthetic',
  )
    .description('Paint tumors into whole scans; write images, labels, change masks and a ledger')
    .requiredOption('--out <dir>', 'Set the folder of the synthetic data set; a stopped synthesis is resumed')
    .option('--config <file>', 'Read host CTs, networks, sizes and quality from a run configuration')
    .option('--set <key=value...>', 'Replace values of the configuration, or of the published settings')
    .option('--generator <file>', 'Use this tumor generator (default: hand-crafted tumors)')
    .option('--baseline <file>', 'Use this segmentor for quality control (default: accept every tumor)')
    .option(
      '--weights <name...>',
      'Select a set of weights of these files: student, teacher, ema, or a key; for one: baseline=NAME',
    )
    .option('--images <dir>', 'Read host CTs from this folder or data set instead of a configuration')
    .option(
      '--labels <dir>',
      'Read organ labels with the names of the host CTs here (default: those of --images)',
    )
    .option('--map <map>', mapDescription())
    .addOption(
      new Option(
        '--region <region>',
        'Set the region of the labels; specialist: id 1 is the organ of --organs, 2 its tumor',
      ).choices([...REGIONS, 'specialist']),
    )
    .option(
      '--organs <names>',
      'Select organs for tumors: liver,pancreas,kidney or lung (default: all of the region)',
      organList,
    )
    .addOption(
      new Option(
        '--method <method>',
        'Set the kind of tumors: simulated, or real ones of the case, shrunk (default: simulated)',
      ).choices(['simulated', 'shrunk']),
    )
    .option('--variants <n>', 'Set the number of synthetic scans per host CT', wholeNumber(1))
    .option('--tumors <n>', 'Set the number of tumors per synthetic scan', wholeNumber(1))
    .option('--seed <n>', 'Set the seed of the tumors', wholeNumber(0))
    .addOption(
      new Option(
        '--channel <mode>',
        'Set whether each organ has its own generator output, or all share one',
      ).choices(['organ', 'shared']),
    )
    .addOption(
      new Option(
        '--merging <order>',
        'Set the patch-merging order of a baseline that does not state it',
      ).choices(['legacy', 'corrected', 'v2']),
    )
    .addOption(
      new Option(
        '--layout <layout>',
        'Set the folder layout; nnunet adds _0000 to the names of images',
      ).choices(['plain', 'nnunet']),
    )
    .option('--reviews <file>', 'Read review decisions that override the rules: reviews.jsonl, or its folder')
    .option(
      '--keep-rejected <n>',
      'Write this number of rejected tumors of each organ into rejected/ (default: 0)',
      wholeNumber(0),
    )
    .option('--licence <name>', 'Set the licence of the host CTs (default: that of a registered data set)')
    .option('--workers <n>', 'Set the number of processes, or GPUs, that share the cases', wholeNumber(1))
    .option('--allow-empty', 'Accept a data set without accepted tumors (default: exit 3)')
    .option(
      '--dicom <dir>',
      'Convert the DICOM series below this folder and label their organs first; the result is in OUT/synthetic',
    )
    .option('--organs-with <tool...>', 'Label organs with a tool, as `freetumor organs --with` does')
    .option('--tool-python <path>', 'Set the Python of the environment of that tool')
    .option('--dicom-seg [dir]', 'Write DICOM SEG for the CT series in this folder, or of --dicom')
    .addOption(shardOption())
    .addOption(outputOption(['text', 'json', 'ndjson']))
    .action(async (options: Options, command) => {
      refuseMissingHosts(options)
      const source = dicomSource(options, io)
      const work = async (context: StageContext): Promise<SynthesisWithSegs & Partial<DicomSynthesis>> => {
        const config = options.config === undefined ? null : await readConfig(io, options.config, options.set)
        const settings = await settingsOf(options, config, io, context)
        const { images, labels } = options
        const shared = {
          settings,
          licence: options.licence,
          ...shardOf(options.shard, command),
          onProgress: (progress: SynthesisProgress) => {
            if (options.output === 'ndjson') printLine(io, 'synthesize', progress)
            else noteVariant(io, progress)
          },
        }
        const tools = { reader: dicomReader(), writer: segWriter(), tools: toolRunner }
        const seg = segOptions(options, io)
        if (source !== null) {
          const organs = {
            with: organSource('--organs-with', options.organsWith!, io.cwd),
            toolPython: options.toolPython,
            onCase: organNotes(io),
          }
          return await synthesizeDicom(source, organs, shared, seg, context, tools)
        }
        const map =
          options.map === undefined ? specialistMap(settings) : parseMap(options.map, settings.region)
        const hosts =
          config !== null && images === undefined
            ? config.data
            : {
                images: resolve(io.cwd, images!),
                labels: labels === undefined ? undefined : resolve(io.cwd, labels),
                labelMap: map,
              }
        return await synthesizeWithSegs(
          { ...shared, out: resolve(io.cwd, options.out), hosts },
          seg,
          context,
          tools.writer,
        )
      }
      const result = await withLogFolder(io, torchRuntime(), work)
      for (const { caseId, error } of result.failed) io.note(`failed ${caseId}: ${error.message}`)
      if (options.output !== 'ndjson')
        printResult(io, 'synthesize', options.output, result, () => [
          ...synthesisText(result, options.shard !== undefined),
          ...segText(result.segmentations),
        ])
      // a shard may be empty; the merge refuses an empty data set
      const isEmpty = options.shard === undefined && result.tumors.kept === 0
      if (isEmpty) noteEmpty(io, result)
      const failures =
        result.failed.length + result.leftOut.length + (result.segmentations?.failed.length ?? 0)
      const early = result.conversion?.complete === false || (result.organs?.failed.length ?? 0) > 0
      if (failures > 0 || early || (isEmpty && !options.allowEmpty)) io.exitWith(EXIT.data)
    })
}

/** Warn that no tumor was accepted, with the command that shows other thresholds. */
export function noteEmpty(io: CliIo, { directory, tumors }: Synthesis): void {
  if (tumors.tried + tumors.noRoom === 0) return // the failed hosts are reported
  if (tumors.tried === 0) {
    io.note(
      `warning: no tumor was painted: ${counted(tumors.noRoom, 'attempt')} failed; ledger.jsonl has the reasons`,
    )
    io.note('hint: choose smaller tumors or other organs, or check the labels')
    return
  }
  io.note(
    `warning: none of ${counted(tumors.tried, 'tumor')} was accepted: the data set has no synthetic tumor`,
  )
  io.note(`hint: compare thresholds with \`freetumor sweep ${quoted(directory)}\`, or check the baseline`)
}

function refuseMissingHosts({ images, labels, config, dicom, organsWith, toolPython }: Options): void {
  if (dicom !== undefined && organsWith === undefined)
    throw new UsageError('--dicom: no organ labels (expected --organs-with, too)', {
      hint: 'pass a tool, as in --organs-with totalsegmentator',
    })
  if (dicom === undefined && (organsWith !== undefined || toolPython !== undefined))
    throw new UsageError('--organs-with: only with --dicom', {
      hint: 'label the organs with `freetumor organs`, and pass its folder with --labels',
    })
  if (dicom !== undefined && (images !== undefined || labels !== undefined))
    throw new UsageError('--dicom: cannot be used with --images and --labels', { hint: 'omit one of them' })
  if (dicom !== undefined) return
  if (images === undefined && labels !== undefined)
    throw new UsageError('--labels: no host CTs (expected --images, too)', { hint: 'pass --images' })
  if (config === undefined && images === undefined)
    throw new UsageError('synthesize: no host CTs (expected --config, or --images)', {
      hint: 'pass --config FILE, or --images DIR',
    })
}

/** Return the settings of a configuration with the flags over it, or of the flags and the checkpoints. */
async function settingsOf(
  { set = [], weights: named = [], ...options }: Options,
  config: SynthesisSections | null,
  io: CliIo,
  { runtime, signal }: StageContext,
): Promise<SynthesisSettings> {
  const weights = weightSets(named, options)
  const found = async (file: string | undefined) =>
    file === undefined ? undefined : await checkpointFile(resolve(io.cwd, file))
  const flags = {
    ...options,
    weights,
    generator: await found(options.generator),
    baseline: await found(options.baseline),
    reviews: options.reviews === undefined ? undefined : resolve(io.cwd, options.reviews),
  }
  if (config !== null) return synthesisSettings(config, flags)
  const inspected = (network: 'generator' | 'baseline') => {
    const file = flags[network]
    return file === undefined ? null : runtime.inspect(file, { signal, weights: weights[network] })
  }
  const [generator, baseline] = await Promise.all([inspected('generator'), inspected('baseline')])
  const cache = resolve(io.cwd, DEFAULT_CACHE)
  return settingsOfWeights(flags, { generator, baseline }, { set, cache })
}

/**
 * Return the set of weights of each file from the words of `--weights`: NAME for all files, or NETWORK=NAME.
 * @throws UsageError for a network without a file
 */
function weightSets(
  words: readonly string[],
  files: Pick<Options, 'generator' | 'baseline'>,
): { readonly generator?: string; readonly baseline?: string } {
  const given = (['generator', 'baseline'] as const).filter((network) => files[network] !== undefined)
  const sets: { generator?: string; baseline?: string } = {}
  for (const word of words) {
    const [, own, name = word] = /^(generator|baseline)=(.*)$/.exec(word) ?? []
    const networks = given.filter((network) => own === undefined || own === network)
    if (name === '')
      throw new UsageError(`--weights ${word}: no name (expected ${own}=NAME)`, {
        hint: '`freetumor checkpoint inspect` lists the sets of a file',
      })
    if (networks.length === 0)
      throw new UsageError(
        `--weights ${word}: no file to select from (expected --${own ?? 'baseline'}, too)`,
        {
          hint: `for a configuration: --set networks.${own ?? 'baseline'}.weights=NAME`,
        },
      )
    for (const network of networks) sets[network] = name
  }
  return sets
}

/** Return the map of a specialist, whose labels have ids of its own. */
function specialistMap({ region, synthesize }: SynthesisSettings): LabelIdMap | undefined {
  const organ = LABEL_SCHEMES[region].organs.find(({ name }) => name === synthesize.specialist)
  return organ && { '0': 0, '1': organ.label, '2': organ.tumorLabel }
}

function noteVariant(io: CliIo, progress: SynthesisProgress): void {
  const { done, total, caseId, variant, kept, tried, secondsPerVariant } = progress
  const pace =
    secondsPerVariant === null
      ? ''
      : `  ${secondsPerVariant.toFixed(1)} s a variant, ${Math.round(secondsPerVariant * (total - done))} s left`
  io.note(`${done}/${total}  ${caseId} variant ${variant}  ${kept} of ${tried} tumors accepted${pace}`)
}

/** @param isShard the data set is not complete before the merge */
export function synthesisText(
  { directory, hosts, scans, tumors, failed }: Synthesis,
  isShard = false,
): string[] {
  return [
    `${counted(scans, 'synthetic scan')} of ${counted(hosts, 'host')} in ${directory}: ${tumors.kept} of ${tumors.tried} tumors accepted, ${tumors.noRoom} without room`,
    ...(failed.length > 0 ? [`${counted(failed.length, 'host')} failed`] : []),
    ...(isShard ? [] : ['ledger.jsonl lists every tumor, report.html shows them']),
  ]
}

function organList(text: string): OrganName[] {
  const names = text.split(',').map((name) => name.trim())
  const unknown = names.filter((name) => !(ORGAN_NAMES as readonly string[]).includes(name))
  if (unknown.length > 0) throw new InvalidArgumentError(`organs among ${ORGAN_NAMES.join(', ')}`)
  return names as OrganName[]
}
